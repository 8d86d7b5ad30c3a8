import { messageOf } from '../../base/errors.ts';
import type { LabelChoice, LabelFormat } from '../ast.ts';
import { compileTemplate, type TemplateInput } from '../template/execute.ts';
import { valueTest } from './label-filter.ts';
import {
  comparedLabel,
  deleteLabel,
  errorLabel,
  failLine,
  type LabelSet,
  labelEntries,
  labelOf,
  labelsAndErrors,
  preserveErrorLabel,
  type Row,
  setLabel,
} from './row.ts';

// The stages that write: lines and labels by templates, colours, and which labels stay.

const templateError = 'TemplateFormatErr';

function inputOf({ line, timestampNs, labels }: Row): TemplateInput {
  return {
    line,
    timestampNs,
    label: (name) => labelOf(labels, name) ?? (comparedLabel(labels, name) || undefined),
    labels: () => new Map(labelsAndErrors(labels)),
  };
}

export function lineFormatter(template: string): (row: Row) => void {
  const format = checked(undefined, template);
  return (row) => {
    try {
      row.line = format(inputOf(row));
    } catch (cause) {
      failLine(row.labels, templateError, messageOf(cause));
    }
  };
}

/** `label`: whose template it is; absent: the line's. */
function checked(label: string | undefined, template: string): (input: TemplateInput) => string {
  try {
    return compileTemplate(label === undefined ? 'line' : 'label', template);
  } catch (cause) {
    const what = label === undefined ? 'invalid line template' : `invalid template for label '${label}'`;
    throw new Error(`${what}: ${messageOf(cause)}`);
  }
}

export function labelFormatter(formats: readonly LabelFormat[]): (row: Row) => void {
  const seen = new Set<string>();
  const steps = formats.map(({ label, from }) => {
    if (label === errorLabel) throw new Error(`${errorLabel} cannot be formatted`);
    if (seen.has(label))
      throw new Error(`multiple label name '${label}' not allowed in a single format operation`);
    seen.add(label);
    return from.kind === 'label' ? rename(from.text, label) : set(label, checked(label, from.text));
  });
  return (row) => {
    // What templates see is what there is before the first of them.
    let input: TemplateInput | undefined;
    const once = (): TemplateInput => {
      input ??= snapshotOf(row);
      return input;
    };
    for (const step of steps) step(row, once);
  };
}

const rename =
  (from: string, to: string) =>
  ({ labels }: Row): void => {
    const value = labelOf(labels, from);
    if (value === undefined) return;
    setLabel(labels, to, value);
    deleteLabel(labels, from);
  };

const set =
  (label: string, format: (input: TemplateInput) => string) =>
  ({ labels }: Row, input: () => TemplateInput): void => {
    try {
      setLabel(labels, label, format(input()));
    } catch (cause) {
      failLine(labels, templateError, messageOf(cause));
    }
  };

function snapshotOf({ line, timestampNs, labels }: Row): TemplateInput {
  const known = new Map(labelsAndErrors(labels));
  return { line, timestampNs, label: (name) => known.get(name), labels: () => known };
}

const [escapeCode, introducer, bell] = ['\u001b', '\u009b', '\u0007'];
/** Escape sequences of terminals. */
const sequences = new RegExp(
  String.raw`[${escapeCode}${introducer}][[\]()#;?]*(?:(?:[a-zA-Z\d]*(?:;[a-zA-Z\d]*)*)?${bell}|(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PRZcf-ntqry=><~])`,
  'g',
);

export function decolorize(row: Row): void {
  row.line = row.line.replace(sequences, '');
}

export function dropper(choices: readonly LabelChoice[]): (row: Row) => void {
  const tests = choices.map(choiceTest);
  return ({ labels }) => {
    for (const { label, test } of tests) if (test(comparedLabel(labels, label))) deleteLabel(labels, label);
  };
}

const choiceTest = ({ label, matcher }: LabelChoice) => ({
  label,
  test: matcher === undefined ? () => true : valueTest(matcher),
});

/** Keeps what is chosen; errors stay. */
export function keeper(choices: readonly LabelChoice[]): (row: Row) => void {
  const tests = choices.map(choiceTest);
  return ({ labels }) => {
    const gone = [...labelEntries(labels)].filter(
      ([name, value]) =>
        name !== preserveErrorLabel && !tests.some(({ label, test }) => label === name && test(value)),
    );
    for (const [name] of gone) deleteLabel(labels as LabelSet, name);
  };
}
