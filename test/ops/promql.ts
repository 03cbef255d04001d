// Reads PromQL with the grammar of Prometheus' own console: syntax errors, and which figures with which labels are named.
// Owned by the tests of alerts and dashboard.
import { parser } from "@prometheus-io/lezer-promql";

/** A figure that an expression names. */
export interface Selection {
  readonly metric: string;
  /** Labels that it is narrowed by, and those it is grouped by. */
  readonly labels: readonly string[];
}

/** What was found in an expression. */
export interface Expression {
  /** Pieces that the grammar does not know. */
  readonly errors: readonly string[];
  readonly selections: readonly Selection[];
  /** Labels of `by (…)` and `without (…)`. */
  readonly grouping: readonly string[];
}

type Node = ReturnType<typeof parser.parse>["topNode"];

/** @param text an expression; Grafana's variables count as what they stand for */
export function readExpression(text: string): Expression {
  const source = text.replaceAll("$__rate_interval", "5m");
  const errors: string[] = [];
  const selections: Selection[] = [];
  const grouping: string[] = [];
  const textOf = ({ from, to }: Node): string => source.slice(from, to);
  parser.parse(source).iterate({
    enter: ({ node }) => {
      if (node.type.isError) errors.push(`at ${node.from}: ${source.slice(node.from, node.from + 20)}`);
      if (node.name === "GroupingLabels") grouping.push(...node.getChildren("LabelName").map(textOf));
      if (node.name !== "VectorSelector") return;
      const matchers = node.getChild("LabelMatchers")?.getChildren("UnquotedLabelMatcher") ?? [];
      const labels = matchers.flatMap((matcher) => matcher.getChildren("LabelName").map(textOf));
      const identifier = node.getChild("Identifier");
      selections.push({ metric: identifier === null ? "" : textOf(identifier), labels });
    },
  });
  return { errors, selections, grouping };
}
