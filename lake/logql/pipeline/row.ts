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
  stream: ReadonlyMap<string, string>;
  /** Shared by lines that have the same; whoever changes it makes it its own. */
  metadata: ReadonlyMap<string, string>;
  readonly parsed: Map<string, string>;
  /** Names of stream labels that are gone. */
  readonly dropped: Set<string>;
  /** Names that have been set: of what parsers find the first stays. */
  readonly extracted: string[];
  error: string;
  errorDetails: string;
}

export const errorLabel = '__error__';
export const errorDetailsLabel = '__error_details__';
export const preserveErrorLabel = '__preserve_error__';
const extractedSuffix = '_extracted';

const none: ReadonlyMap<string, string> = new Map();

export const emptyLabels = (): LabelSet => ({
  ...{ stream: none, metadata: none, parsed: new Map(), dropped: new Set(), extracted: [] },
  ...{ error: '', errorDetails: '' },
});

export function createLabels(
  stream: ReadonlyMap<string, string>,
  metadata: Iterable<readonly [string, string]>,
): LabelSet {
  return { ...emptyLabels(), stream, metadata: metadataBeside(stream, metadata) };
}

/** The same object for the next line, so that none is made a line. `metadata` is that of metadataBeside. */
export function resetLabels(
  labels: LabelSet,
  stream: ReadonlyMap<string, string>,
  metadata: ReadonlyMap<string, string>,
): void {
  labels.stream = stream;
  labels.metadata = metadata;
  labels.parsed.clear();
  labels.dropped.clear();
  labels.extracted.length = 0;
  labels.error = '';
  labels.errorDetails = '';
}

/** Metadata by the names that the stream leaves it. */
export function metadataBeside(
  stream: ReadonlyMap<string, string>,
  metadata: Iterable<readonly [string, string]>,
): ReadonlyMap<string, string> {
  const named = new Map<string, string>();
  for (const [name, value] of metadata) named.set(stream.has(name) ? name + extractedSuffix : name, value);
  return named;
}

function withoutMetadata(labels: LabelSet, name: string): void {
  if (!labels.metadata.has(name)) return;
  const left = new Map(labels.metadata);
  left.delete(name);
  labels.metadata = left;
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
  withoutMetadata(labels, name);
  if (labels.stream.has(name)) labels.dropped.add(name);
  labels.parsed.set(name, value);
  // A parser behind it does not replace it.
  if (!labels.extracted.includes(name)) labels.extracted.push(name);
}

/** The name that a parser's value gets: its own, unless it is taken. */
export const extractedName = (labels: LabelSet, name: string): string =>
  labels.stream.has(name) || labels.metadata.has(name) ? name + extractedSuffix : name;

/** Labels that somebody asks for; undefined when that may be any. */
export type Wanted = ReadonlySet<string> | undefined;

/**
 * Sets what a parser has found, if it is wanted and no value of that name was found before. True when all that is
 * wanted has been found.
 */
export function extractLabel(labels: LabelSet, name: string, value: string, wanted: Wanted): boolean {
  const free = extractedName(labels, name);
  if (wanted !== undefined && !wanted.has(free)) return false;
  if (labels.extracted.includes(free)) return false;
  setLabel(labels, free, value);
  if (wanted === undefined || labels.extracted.length < wanted.size) return false;
  return [...wanted].every((each) => labels.extracted.includes(each));
}

export function deleteLabel(labels: LabelSet, name: string): void {
  if (name === errorLabel) labels.error = '';
  else if (name === errorDetailsLabel) labels.errorDetails = '';
  else {
    labels.parsed.delete(name);
    withoutMetadata(labels, name);
    if (labels.stream.has(name)) labels.dropped.add(name);
  }
}

/** What went wrong, instead of what did before. */
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
  const names = first ? firstNames : laterNames;
  const known = names.get(field);
  if (known !== undefined) return known;
  const name = nameOf(field, first);
  // Fields are few, but where somebody writes ids as names.
  if (names.size >= namesMax) names.clear();
  names.set(field, name);
  return name;
}

/** The same of a field within others, whose name is `prefix`; a blank name adds nothing to it. */
export function nestedName(prefix: string | undefined, field: string): string {
  if (prefix === undefined || prefix === '') return labelNameOf(field, true);
  const own = labelNameOf(field, false);
  return own === '' ? prefix : `${prefix}_${own}`;
}

const namesMax = 10_000;
const firstNames = new Map<string, string>();
const laterNames = new Map<string, string>();

function nameOf(field: string, first: boolean): string {
  if (/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(field)) return field;
  const name = field.trim();
  if (name === '') return '';
  const safe = /^[0-9]/.test(name) && first ? `_${name}` : name;
  return safe.replace(/[^a-zA-Z0-9_]/gu, '_');
}

/** What a sender's broken UTF-8 has become is a space in label values, as in Loki. */
export const labelValueOf = (text: string): string =>
  text.includes('\ufffd') ? text.replaceAll('\ufffd', ' ') : text;
