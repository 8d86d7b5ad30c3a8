/**
 * One line on its way through a pipeline, and its labels. Labels come from the stream, from structured metadata and from
 * parsers, and Loki's rules say who wins: the name belongs to the stream, then to the metadata; a parser's value of the
 * same name is `<name>_extracted`. What a format stage sets replaces whatever there was.
 */
export interface Row {
  line: string;
  timestampNs: bigint;
  labels: LabelSet;
}

export interface LabelSet {
  readonly stream: ReadonlyMap<string, string>;
  readonly metadata: Map<string, string>;
  readonly parsed: Map<string, string>;
  /** Names of stream labels that are gone. */
  readonly dropped: Set<string>;
  /** Names that a parser has extracted; of several values the first stays. */
  readonly extracted: Set<string>;
  error: string;
  errorDetails: string;
}

export const errorLabel = '__error__';
export const errorDetailsLabel = '__error_details__';
export const preserveErrorLabel = '__preserve_error__';
const extractedSuffix = '_extracted';

export function createLabels(
  stream: ReadonlyMap<string, string>,
  metadata: Iterable<readonly [string, string]>,
): LabelSet {
  const labels: LabelSet = {
    stream,
    metadata: new Map(),
    parsed: new Map(),
    dropped: new Set(),
    extracted: new Set(),
    ...{ error: '', errorDetails: '' },
  };
  for (const [name, value] of metadata)
    labels.metadata.set(stream.has(name) ? name + extractedSuffix : name, value);
  return labels;
}

/** The value of a label, or undefined when it is absent. Errors are not labels here. */
export function labelOf(labels: LabelSet, name: string): string | undefined {
  const value = labels.parsed.get(name) ?? labels.metadata.get(name);
  if (value !== undefined) return value;
  return labels.dropped.has(name) ? undefined : labels.stream.get(name);
}

/** The same for comparisons: an absent label is empty, and errors are labels. */
export function comparedLabel(labels: LabelSet, name: string): string {
  if (name === errorLabel) return labels.error;
  if (name === errorDetailsLabel) return labels.errorDetails;
  return labelOf(labels, name) ?? '';
}

/** Sets a label, whoever had it. */
export function setLabel(labels: LabelSet, name: string, value: string): void {
  labels.metadata.delete(name);
  if (labels.stream.has(name)) labels.dropped.add(name);
  labels.parsed.set(name, value);
}

/** The name that a parser's value gets: its own, unless it is taken. */
export const extractedName = (labels: LabelSet, name: string): string =>
  labels.stream.has(name) || labels.metadata.has(name) ? name + extractedSuffix : name;

/** Sets what a parser has found, unless a value of that name was found before. */
export function extractLabel(labels: LabelSet, name: string, value: string): void {
  const free = extractedName(labels, name);
  if (labels.extracted.has(free)) return;
  labels.extracted.add(free);
  setLabel(labels, free, value);
}

export function deleteLabel(labels: LabelSet, name: string): void {
  if (name === errorLabel) labels.error = '';
  else if (name === errorDetailsLabel) labels.errorDetails = '';
  else {
    labels.parsed.delete(name);
    labels.metadata.delete(name);
    if (labels.stream.has(name)) labels.dropped.add(name);
  }
}

/** The first error of a line stays. */
export function failLine(labels: LabelSet, error: string, details: string): void {
  labels.error = error;
  labels.errorDetails = details;
}

export const hasError = (labels: LabelSet): boolean => labels.error !== '';

/** Every label with its value; those of streams first. */
export function* labelEntries(labels: LabelSet): Generator<readonly [string, string]> {
  for (const entry of labels.stream) if (!labels.dropped.has(entry[0])) yield entry;
  yield* labels.metadata;
  yield* labels.parsed;
}

/** With the errors, as they stand in answers. */
export function* labelsAndErrors(labels: LabelSet): Generator<readonly [string, string]> {
  yield* labelEntries(labels);
  if (labels.error !== '') yield [errorLabel, labels.error];
  if (labels.errorDetails !== '') yield [errorDetailsLabel, labels.errorDetails];
}

/** A label's name from a field's: what a name cannot hold is `_`. */
export function labelNameOf(field: string, first: boolean): string {
  if (/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(field)) return field;
  const name = field.trim();
  if (name === '') return '';
  const safe = /^[0-9]/.test(name) && first ? `_${name}` : name;
  return safe.replace(/[^a-zA-Z0-9_]/gu, '_');
}

/** What a sender's broken UTF-8 has become is a space in label values, as in Loki. */
export const labelValueOf = (text: string): string =>
  text.includes('\ufffd') ? text.replaceAll('\ufffd', ' ') : text;
