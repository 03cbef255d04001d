// Run by mongosh on mongo-1 at every `docker compose up`: makes the replica set, its administrator and Parley's user where
// they are missing, gives Parley's user the password and the database of .env, and otherwise changes nothing. Ends with 1 and a sentence where
// it cannot. Loops instead of callbacks: mongosh awaits its commands only in functions that it called itself.
const tries = 90;
const pauseMs = 1000;
const codes = { unauthorized: 13, authenticationFailed: 18, alreadyInitialized: 23 };
const { MONGO_MEMBERS, MONGO_ROOT_PASSWORD, MONGO_PARLEY_PASSWORD, MONGO_DATABASE } = process.env;

function fail(sentence) {
  throw new Error(`mongo-init: ${sentence}`);
}

/** Asks for the set until a member made it or says that it is made. All members must be reachable for it. */
function initiate() {
  // The first is preferred, so that it is the one where users can be made.
  const members = MONGO_MEMBERS.split(",").map((host, i) => ({ _id: i, host, priority: i === 0 ? 2 : 1 }));
  for (let attempt = 1; ; attempt++) {
    try {
      db.adminCommand({ replSetInitiate: { _id: "parley", members } });
      print("mongo-init: the replica set is made");
      return;
    } catch (error) {
      // Nobody may ask without signing in once there are users: then the set is there as well.
      if (error.code === codes.alreadyInitialized || error.code === codes.unauthorized) return;
      if (attempt === tries) fail(`the replica set could not be made: ${error.message}`);
    }
    sleep(pauseMs);
  }
}

/** Waits until the set has a primary; where `here`, until this member is it. */
function awaitPrimary(here) {
  for (let attempt = 0; attempt < tries; attempt++) {
    const hello = db.adminCommand({ hello: 1 });
    if (here ? hello.isWritablePrimary : hello.primary) return;
    sleep(pauseMs);
  }
  fail(here ? "mongo-1 did not become primary" : "the replica set has no primary: are two of three members up?");
}

/** The database `admin` of the primary as `root`, or null where root's password is refused or there is no root yet. */
function signInAsRoot() {
  const password = encodeURIComponent(MONGO_ROOT_PASSWORD);
  try {
    // Not returned as it is: mongosh would await it only behind the catch.
    const admin = connect(`mongodb://root:${password}@${MONGO_MEMBERS}/admin?replicaSet=parley&authSource=admin`);
    return admin;
  } catch (error) {
    if (error.code === codes.authenticationFailed) return null;
    throw error;
  }
}

/** Possible on the primary's own machine while the set has no user at all, and only then. */
function makeRoot() {
  awaitPrimary(true);
  try {
    db.getSiblingDB("admin").createUser({ user: "root", pwd: MONGO_ROOT_PASSWORD, roles: ["root"] });
    print("mongo-init: the administrator is made");
  } catch (error) {
    if (error.code !== codes.unauthorized) throw error;
    fail("MONGO_ROOT_PASSWORD is not the one that this replica set was made with");
  }
}

function main() {
  if (!db.adminCommand({ hello: 1 }).setName) initiate();
  awaitPrimary(false);
  let admin = signInAsRoot();
  if (admin === null) {
    makeRoot();
    admin = signInAsRoot();
    if (admin === null) fail("the administrator was made but cannot sign in");
  }
  const parley = admin.getSiblingDB("parley");
  const account = { pwd: MONGO_PARLEY_PASSWORD, roles: [{ role: "readWrite", db: MONGO_DATABASE }] };
  if (parley.getUser("parley")) parley.updateUser("parley", account);
  else parley.createUser({ user: "parley", ...account });
  print("mongo-init: replica set and users are as they should be");
}

main();
