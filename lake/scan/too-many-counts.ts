import { limitError } from '../logql/errors.ts';
import type { CountsRequest } from '../logql/source.ts';

export const tooManyCounts = ({ rowsMax }: Pick<CountsRequest, 'rowsMax'>) =>
  limitError(
    'samplesMax',
    `the query would hold more than ${rowsMax} samples (samplesMax): narrow it by labels or time`,
  );
