import type { LineFilter, Stage } from '../ast.ts';
import { decolorize, dropper, keeper, labelFormatter, lineFormatter } from './formats.ts';
import { labelTest } from './label-filter.ts';
import { lineTest } from './line-filter.ts';
import {
  jsonExpressions,
  jsonParser,
  logfmtParser,
  patternParser,
  regexpParser,
  unpackParser,
} from './parsers.ts';
import type { Row, Wanted } from './row.ts';

/** Changes a row, or says by false that it is no part of the answer. */
export type Pipeline = (row: Row) => boolean;

/** A stage, made once for a query. Throws an Error in Loki's words when what it was given is wrong. */
export function compileStage(stage: Stage, wanted?: Wanted): Pipeline {
  switch (stage.kind) {
    case 'line-filter':
      return lineFilter(stage);
    case 'label-filter': {
      const test = labelTest(stage.filter);
      return ({ labels }) => test(labels);
    }
    case 'json':
      return always(stage.expressions.length === 0 ? jsonParser(wanted) : jsonExpressions(stage.expressions));
    case 'logfmt':
      return always(logfmtParser(stage, wanted));
    case 'regexp':
      return always(regexpParser(stage.pattern, wanted));
    case 'pattern':
      return always(patternParser(stage.pattern, wanted));
    case 'unpack':
      return always(unpackParser());
    case 'line-format':
      return always(lineFormatter(stage.template));
    case 'label-format':
      return always(labelFormatter(stage.formats));
    case 'decolorize':
      return always(decolorize);
    case 'drop':
      return always(dropper(stage.labels));
    case 'keep':
      return always(keeper(stage.labels));
  }
}

const always =
  (change: (row: Row) => void): Pipeline =>
  (row) => {
    change(row);
    return true;
  };

function lineFilter(filter: LineFilter): Pipeline {
  const test = lineTest(filter);
  return ({ line }) => test(line);
}

/** `wanted`: the labels that matter, where not all of them do; parsers make no others. */
export function compilePipeline(stages: readonly Stage[], wanted?: Wanted): Pipeline {
  const steps = stages.map((stage) => compileStage(stage, wanted));
  const [only] = steps;
  if (steps.length === 1 && only !== undefined) return only;
  return (row) => {
    for (const step of steps) if (!step(row)) return false;
    return true;
  };
}
