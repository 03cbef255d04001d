// Holds alert rules, their cases and the dashboard to the figures that a server really gives, and the operations page to the rules.
import { expect, test } from "bun:test";
import { readText, root } from "./compose-file";
import { listFigures } from "./figures";
import { readExpression } from "./promql";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Cases {
  readonly rule_files: readonly string[];
  readonly tests: readonly {
    readonly name: string;
    readonly input_series: readonly { readonly series: string }[];
    readonly promql_expr_test: readonly {
      readonly exp_samples: readonly { readonly labels: string; readonly value: number }[];
    }[];
  }[];
}

const figures = await listFigures();
const file = Bun.YAML.parse(readText("ops/alerts.yml")) as {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
};
const rules = file.groups.flatMap((group) => group.rules);
const cases = Bun.YAML.parse(readText("ops/alerts.test.yml")) as Cases;
const duration = /^\d+(s|m|h)$/;

/** What is wrong with an expression: its syntax, or figures and labels that no server gives. */
function faultsOf(expression: string): readonly string[] {
  const { errors, selections, grouping } = readExpression(expression);
  const labels = new Set(selections.flatMap(({ metric }) => [...(figures.get(metric) ?? [])]));
  return [
    ...errors,
    ...(selections.length === 0 ? ["names no figure"] : []),
    ...selections.filter(({ metric }) => !figures.has(metric)).map(({ metric }) => `no figure ${metric}`),
    ...selections.flatMap(({ metric, labels }) =>
      labels
        .filter((label) => figures.has(metric) && !figures.get(metric)?.has(label))
        .map((label) => `${metric} has no ${label}`),
    ),
    ...grouping.filter((label) => !labels.has(label)).map((label) => `nothing has ${label}`),
  ];
}

/** Every value under the name `expr`, and every query of a variable. */
function expressionsIn(value: unknown): readonly string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) =>
    name === "expr" && typeof item === "string" ? [item] : expressionsIn(item),
  );
}

/** Plays the cases; `failed` holds what promtool said where one failed. */
async function play(promtool: string): Promise<{ readonly code: number; readonly failed: string }> {
  const command = [promtool, "test", "rules", "alerts.test.yml"];
  const played = Bun.spawn(command, { cwd: `${root}/ops`, stdout: "pipe", stderr: "ignore" });
  const said = await new Response(played.stdout).text();
  const code = await played.exited;
  return { code, failed: code === 0 ? "" : said };
}

test("the figures are those of a server, with their labels", () => {
  expect([...(figures.get("parley_errors_total") ?? [])].toSorted()).toEqual(["code", "instance", "job", "operation"]);
  expect(figures.get("parley_ack_seconds_bucket")?.has("le")).toBe(true);
  expect(figures.get("parley_mailbox_deepest")?.has("kind")).toBe(true);
});

test("a wrong expression is told by what is wrong with it", () => {
  expect(faultsOf("parley_sessions > ")).not.toEqual([]);
  expect(faultsOf("rate(parley_session[5m]) > 0")).toEqual(["no figure parley_session"]);
  expect(faultsOf('parley_errors_total{reason="x"}')).toEqual(["parley_errors_total has no reason"]);
  expect(faultsOf("sum by (kind) (parley_sessions)")).toEqual(["nothing has kind"]);
  expect(faultsOf("1 > 2")).toEqual(["names no figure"]);
});

test("every alert names figures that there are, says how urgent it is, and what is the matter", () => {
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  for (const rule of rules) {
    expect([rule.alert, faultsOf(rule.expr)]).toEqual([rule.alert, []]);
    expect(rule.alert).toMatch(/^Parley[A-Z]\w+$/);
    expect(Object.keys(rule).filter((key) => !["alert", "expr", "for", "labels", "annotations"].includes(key))).toEqual(
      [],
    );
    expect(rule.for ?? "0s").toMatch(duration);
    expect(["critical", "warning", "info"]).toContain(rule.labels["severity"] as string);
    expect(Object.keys(rule.annotations).toSorted()).toEqual(["description", "summary"]);
  }
});

test("an alert's sentences name only labels that its figures have", () => {
  for (const { alert, expr, annotations } of rules) {
    const { selections, grouping } = readExpression(expr);
    // A sum keeps the labels it is grouped by; a figure by itself keeps all.
    const kept = new Set(
      grouping.length > 0 ? grouping : selections.flatMap(({ metric }) => [...(figures.get(metric) ?? [])]),
    );
    const named = [
      ...Object.values(annotations)
        .join(" ")
        .matchAll(/\$labels\.(\w+)/g),
    ].map((match) => match[1] as string);
    expect([alert, named.filter((label) => !kept.has(label))]).toEqual([alert, []]);
  }
});

test("every alert has a case that raises it, from figures that there are; promtool plays them where it is installed", async () => {
  const series = cases.tests.flatMap((one) => one.input_series.map(({ series }) => series));
  expect(series.map((one) => faultsOf(one)).filter((faults) => faults.length > 0)).toEqual([]);
  const samples = cases.tests.flatMap((one) => one.promql_expr_test.flatMap(({ exp_samples }) => exp_samples));
  const raised = samples.map(({ labels }) => /alertname="(\w+)"/.exec(labels)?.[1] ?? labels);
  expect([...new Set(raised)].toSorted()).toEqual(rules.map(({ alert }) => alert).toSorted());
  const promtool = Bun.which("promtool");
  if (promtool !== null) expect(await play(promtool)).toEqual({ code: 0, failed: "" });
});

test("Prometheus is told of these rules, of both nodes, and of nothing that is not in the stack", () => {
  const text = readText("ops/prometheus.yml");
  const config = Bun.YAML.parse(text) as { readonly rule_files: readonly string[]; readonly scrape_configs: unknown };
  const compose = readText("docker-compose.yml");
  for (const mounted of [...config.rule_files, "/etc/prometheus/prometheus.yml"])
    expect(compose).toContain(`:${mounted}:ro`);
  expect(text).toContain("names: [parley, parley-2]");
});

test("every panel of the dashboard shows figures that there are, from the source that is provisioned", () => {
  const dashboard = JSON.parse(readText("ops/grafana/dashboards/parley.json")) as {
    readonly panels: readonly {
      readonly id: number;
      readonly type: string;
      readonly title: string;
      readonly targets?: unknown;
    }[];
    readonly templating: { readonly list: readonly { readonly query: { readonly query: string } }[] };
  };
  const shown = dashboard.panels.filter(({ type }) => type !== "row");
  expect(shown.length).toBeGreaterThan(20);
  for (const panel of shown) {
    const expressions = expressionsIn(panel);
    expect([panel.title, expressions.flatMap(faultsOf)]).toEqual([panel.title, []]);
    expect([panel.title, expressions.length > 0]).toEqual([panel.title, true]);
  }
  expect(expressionsIn(dashboard).flatMap(faultsOf)).toEqual([]);
  const asked = dashboard.templating.list.map(({ query }) => /^label_values\((\w+), (\w+)\)$/.exec(query.query));
  expect(asked.map((found) => figures.get(found?.[1] ?? "")?.has(found?.[2] ?? ""))).toEqual([true]);
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);

  const source = Bun.YAML.parse(readText("ops/grafana/provisioning/datasources/prometheus.yml")) as {
    readonly datasources: readonly { readonly uid: string }[];
  };
  const uids = [...JSON.stringify(dashboard).matchAll(/"type":"prometheus","uid":"([^"]+)"/g)].map((match) => match[1]);
  expect([...new Set(uids)]).toEqual(source.datasources.map(({ uid }) => uid));
});

test("every figure of a server is on the dashboard", () => {
  const text = readText("ops/grafana/dashboards/parley.json");
  const families = [...figures.keys()]
    .filter((name) => name.startsWith("parley_"))
    .map((name) => name.replace(/_(bucket|sum|count)$/, ""));
  expect([...new Set(families)].filter((name) => !text.includes(name))).toEqual([]);
});

test("the operations page says of every alert what it means and what to do, and of no other", () => {
  const section = readText("docs/OPERATIONS.md").split("\n### Alerts\n")[1]?.split("\n## ")[0] ?? "";
  const rows = [...section.matchAll(/^\| `(Parley\w+)` \| (\w+) \| [^|]{20,} \| [^|]{20,} \|$/gm)];
  const listed = rows.map(([, alert, severity]) => `${alert} ${severity}`);
  expect(listed).toEqual(rules.map(({ alert, labels }) => `${alert} ${labels["severity"]}`));
});
