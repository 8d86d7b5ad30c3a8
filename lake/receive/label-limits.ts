import { FirnError } from '../base/errors.ts';
import type { Labels } from '../model/labels.ts';

/** What the labels of one series or stream may be, whatever protocol brings them. */
export interface LabelLimits {
  readonly labelsPerSeriesMax: number;
  readonly labelNameBytesMax: number;
  readonly labelValueBytesMax: number;
}

export const labelLimits: LabelLimits = {
  labelsPerSeriesMax: 128,
  labelNameBytesMax: 1024,
  labelValueBytesMax: 16 * 1024,
};

/** Throws FirnError `limit` that says which label is too much. */
export function checkLabelLimits(labels: Labels, limits: LabelLimits): void {
  const { labelsPerSeriesMax, labelNameBytesMax, labelValueBytesMax } = limits;
  if (labels.length > labelsPerSeriesMax)
    throw tooMuch('labelsPerSeriesMax', labelsPerSeriesMax, `there are ${labels.length} labels`);
  for (const [name, value] of labels) {
    if (isLonger(name, labelNameBytesMax))
      throw tooMuch('labelNameBytesMax', labelNameBytesMax, `the label name ${shown(name)} is too long`);
    if (isLonger(value, labelValueBytesMax))
      throw tooMuch(
        'labelValueBytesMax',
        labelValueBytesMax,
        `the value of the label ${shown(name)} is too long`,
      );
  }
}

/** Whether an error says that labels are beyond these limits. */
export const isLabelRefusal = (error: unknown): error is FirnError =>
  error instanceof FirnError && error.code === 'limit' && error.operation === checkOperation;

const checkOperation = 'check labels';

/** A UTF-16 unit takes at most three bytes. */
const isLonger = (text: string, bytesMax: number): boolean =>
  text.length > bytesMax || (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax);

const shown = (name: string): string => JSON.stringify(name.slice(0, 100));

function tooMuch(subject: keyof LabelLimits, max: number, what: string): FirnError {
  return new FirnError({
    code: 'limit',
    operation: checkOperation,
    subject,
    message: `${what}: at most ${max} are accepted (limits.${subject})`,
  });
}
