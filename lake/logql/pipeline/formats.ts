import { messageOf } from '../../base/errors.ts';
import type { LabelChoice, LabelFormat } from '../ast.ts';
import { compileTemplate, type TemplateInput } from '../template/execute.ts';
import { valueTest } from './label-filter.ts';
import {
  comparedLabel,
  deleteLabel,
  errorLabel,
  failLine,
  hasError,
  type LabelSet,
  labelEntries,
  labelOf,
  labelsAndErrors,
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
  const format = checked('line', template);
  return (row) => {
    try {
      row.line = format(inputOf(row));
    } catch (cause) {
      failLine(row.labels, templateError, messageOf(cause));
    }
  };
}

function checked(name: 'line' | 'label', template: string): (input: TemplateInput) => string {
  try {
    return compileTemplate(name, template);
  } catch (cause) {
    const what = name === 'line' ? 'invalid line template' : 'invalid template for label';
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
    return from.kind === 'label' ? rename(from.text, label) : set(label, checked('label', from.text));
  });
  return (row) => {
    for (const step of steps) step(row);
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
  (row: Row): void => {
    try {
      setLabel(row.labels, label, format(inputOf(row)));
    } catch (cause) {
      if (!hasError(row.labels)) failLine(row.labels, templateError, messageOf(cause));
    }
  };

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences of terminals begin with one
const colours = /\u001b\[[0-9;]*[a-zA-Z]/g;

export function decolorize(row: Row): void {
  if (row.line.includes('\u001b')) row.line = row.line.replace(colours, '');
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
      ([name, value]) => !tests.some(({ label, test }) => label === name && test(value)),
    );
    for (const [name] of gone) deleteLabel(labels as LabelSet, name);
  };
}
