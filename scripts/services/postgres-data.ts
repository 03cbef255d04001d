// Makes the data folder of the PostgreSQL behind FerretDB: an empty cluster, and the indexes its documents are found by.
// PostgreSQL refuses to run as root, so as root everything here belongs to the system user that its package made.
import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Unavailable } from "./catalog";

/** The system user of Debian's package. */
const systemUser = "postgres";

/**
 * FerretDB turns an equality into a containment test on the field's JSON, which none of its own indexes serves: every look-up
 * reads the whole table. So each new table gets such indexes on the fields that Parley's documents are found by.
 */
const indexNewTables = `
CREATE FUNCTION index_documents() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
  made record;
  field text;
BEGIN
  FOR made IN SELECT objid::regclass AS name, object_identity FROM pg_event_trigger_ddl_commands()
    WHERE object_type = 'table' AND object_identity NOT LIKE '%ferretdb_database_metadata%' LOOP
    FOREACH field IN ARRAY ARRAY['_id', 'conversation', 'user'] LOOP
      EXECUTE format('CREATE INDEX ON %s USING gin ((_jsonb->%L))', made.name, field);
    END LOOP;
  END LOOP;
END $$;

CREATE EVENT TRIGGER index_documents ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION index_documents();

`;

/** The user that PostgreSQL runs as, where this process may not run it itself; null where it may. */
export function postgresUser(): string | null {
  return process.getuid?.() === 0 ? systemUser : null;
}

/**
 * Makes `folder`/data an empty cluster whose superuser is `parley`, open to everybody who may enter `folder`: its owner only.
 *
 * @param programs the folder with `initdb` and `postgres`
 */
export async function makePostgresData(programs: string, folder: string): Promise<void> {
  mkdirSync(folder, { mode: 0o700 });
  const user = postgresUser();
  if (user !== null) {
    const owner = await ownerIds(user);
    chownSync(folder, owner.user, owner.group);
    // The temporary folder around it is root's alone by default; it holds nothing else.
    chmodSync(join(folder, ".."), 0o755);
  }
  const data = join(folder, "data");
  const options = [
    "--username=parley",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--no-sync",
    "--wal-segsize=4",
  ];
  await run(user, [join(programs, "initdb"), "--pgdata", data, ...options]);
  // One process that reads SQL and ends: cheaper than a start, and needs no client.
  await run(user, [join(programs, "postgres"), "--single", "-j", "-F", "-D", data, "postgres"], indexNewTables);
}

async function ownerIds(user: string): Promise<{ readonly user: number; readonly group: number }> {
  const [uid, gid] = await Promise.all([run(null, ["id", "-u", user]), run(null, ["id", "-g", user])]);
  return { user: Number(uid), group: Number(gid) };
}

async function run(user: string | null, command: readonly string[], input = ""): Promise<string> {
  const as = user === null ? [] : ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups", "--"];
  const child = Bun.spawn([...as, ...command], {
    // Not wherever we are: the user may not enter there, and PostgreSQL wants to.
    cwd: "/",
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0 || /\b(ERROR|FATAL|PANIC):/.test(err)) {
    throw new Unavailable(
      `${command.slice(0, 2).join(" ")} failed with ${code}: ${`${out}\n${err}`.trim().slice(-1_000)}`,
    );
  }
  return out;
}
