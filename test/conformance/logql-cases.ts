import { messageOf } from '../../lake/base/errors.ts';
import { parseExpr, parseLogExpr, parseSelector } from '../../lake/logql/parse.ts';
import { compilePipeline } from '../../lake/logql/pipeline/compile.ts';
import { parseJsonPath, parseLogfmtKey } from '../../lake/logql/pipeline/field-path.ts';
import { captures, matchesLine, parsePattern } from '../../lake/logql/pipeline/pattern.ts';
import { createLabels, labelsAndErrors } from '../../lake/logql/pipeline/row.ts';
import { planPipeline } from '../../lake/logql/plan.ts';
import { formatExpr } from '../../lake/logql/pretty.ts';
import { printExpr } from '../../lake/logql/print.ts';
import type { RowsInProcess } from './logql-rows.ts';

// The cases that need no server. Each check says what is wrong, or nothing.

type Check<Name extends keyof RowsInProcess> = (row: RowsInProcess[Name]) => string | undefined;

/** Bytes that are no UTF-8 become what the lexer knows as such. */
function queryOf({ query, query_hex: hex = '' }: RowsInProcess['parse_ok']): string {
  if (query !== undefined) return query;
  const bytes = Buffer.from(hex, 'hex');
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd')) return text;
  return [...bytes].map((byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join('');
}

function errorOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

const parse = (row: RowsInProcess['parse_ok']): unknown =>
  row.api?.startsWith('ParseMatchers') ? parseSelector(queryOf(row)) : parseExpr(queryOf(row));

const parseOk: Check<'parse_ok'> = (row) => {
  const problem = errorOf(() => parse(row));
  if (problem !== undefined || row.api?.startsWith('ParseMatchers'))
    return problem && `${queryOf(row)}: ${problem}`;
  const expr = parseExpr(queryOf(row));
  for (const text of [printExpr(expr), formatExpr(expr)]) {
    const again = errorOf(() => parseExpr(text)) ?? printExpr(parseExpr(text));
    if (again !== printExpr(expr)) return `printed as ${text}, which reads as ${again}`;
  }
  return undefined;
};

const parseFail: Check<'parse_fail'> = (row) => {
  const problem = errorOf(() => parse(row));
  if (problem === undefined) return `${queryOf(row)} has no error`;
  const right = row.match === 'equals' ? problem === row.error : problem.includes(row.error ?? '');
  return right ? undefined : `${queryOf(row)}: want ${row.error} got ${problem}`;
};

const equal = (want: unknown, got: unknown): string | undefined =>
  want === got ? undefined : `want ${String(want)} got ${String(got)}`;

const stageFail: Check<'stage_fail'> = (row) => {
  const problem = errorOf(() => planPipeline(parseLogExpr(`{a="b"} ${row.stages}`)));
  const mustFail = row.must_fail ?? true;
  if ((problem !== undefined) !== mustFail) return `${row.stages}: ${problem ?? 'no error'}`;
  if (row.error_contains !== undefined && !problem?.includes(row.error_contains))
    return `want ${row.error_contains} got ${problem}`;
  return undefined;
};

const sortedText = (labels: Iterable<readonly [string, string]>): string =>
  JSON.stringify([...labels].sort(([a], [b]) => (a < b ? -1 : 1)));

const pipeline: Check<'pipeline'> = (row) => {
  if (row.why?.includes('not expressible') || row.why?.includes('hint')) return undefined;
  const { stream_labels: stream, structured_metadata: metadata, line, ts_ns: ns } = row.input;
  const labels = createLabels(new Map(Object.entries(stream)), Object.entries(metadata ?? {}));
  labels.error = row.injected_error?.__error__ ?? '';
  labels.errorDetails = row.injected_error?.__error_details__ ?? '';
  const entry = { line, timestampNs: BigInt(ns ?? 0), labels };
  const keep = compilePipeline(parseLogExpr(`{a="b"} ${row.stages}`).stages)(entry);
  const { expect } = row;
  if (expect.keep !== undefined && expect.keep !== keep) return `keep is ${keep}`;
  if (expect.keep === false) return undefined;
  if (expect.labels) {
    const problem = equal(sortedText(Object.entries(expect.labels)), sortedText(labelsAndErrors(labels)));
    if (problem !== undefined) return `${row.stages}: ${problem}`;
  }
  return expect.line === undefined ? undefined : equal(expect.line, entry.line);
};

const lineMatch: Check<'line_match'> = (row) => {
  const labels = createLabels(new Map(Object.entries(row.stream_labels)), []);
  const keep = compilePipeline(parseLogExpr(row.query).stages)({ line: row.line, timestampNs: 0n, labels });
  return equal(row.match, keep);
};

const pattern: Check<'pattern'> = (row) => {
  const parts = parsePattern(row.pattern);
  const found = [...captures(parts, row.line)];
  return (
    equal(JSON.stringify(row.captures), JSON.stringify(found.map(([, value]) => value))) ??
    equal(row.full_match, matchesLine(parts, row.line))
  );
};

const exprParse: Check<'expr_parse'> = (row) => {
  const read = (): readonly unknown[] =>
    row.kind === 'json_expr'
      ? parseJsonPath(row.expression)
      : [parseLogfmtKey(row.expression)].filter((key) => key !== '');
  const problem = errorOf(read);
  if (row.error !== null) return equal(row.error, problem);
  return problem ?? equal(JSON.stringify(row.path ?? []), JSON.stringify(read()));
};

export const inProcess: { readonly [Name in keyof RowsInProcess]: Check<Name> } = {
  parse_ok: parseOk,
  parse_fail: parseFail,
  stage_fail: stageFail,
  stringify: (row) => equal(row.out, printExpr(parseExpr(row.in))),
  format: (row) => equal(row.out, formatExpr(parseExpr(row.in), row.max_chars_per_line)),
  pipeline,
  line_match: lineMatch,
  pattern,
  expr_parse: exprParse,
};
