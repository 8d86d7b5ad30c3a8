import { compileRe2 } from '../../regexp/re2.ts';
import type { LineAlternative, LineFilter } from '../ast.ts';
import { ipTest } from './ip.ts';
import { matchesLine, parseLinePattern } from './pattern.ts';

/** A line filter as a test of lines. Throws an Error in Loki's words. */
export function lineTest({ op, alternatives }: LineFilter): (line: string) => boolean {
  const tests = alternatives.map((alternative) => alternativeTest(op, alternative));
  const [only] = tests;
  const matches =
    tests.length === 1 && only !== undefined ? only : (line: string) => tests.some((test) => test(line));
  return op.startsWith('!') ? (line) => !matches(line) : matches;
}

function alternativeTest(op: LineFilter['op'], { kind, value }: LineAlternative): (line: string) => boolean {
  if (kind === 'ip') {
    if (op !== '|=' && op !== '!=') throw new Error('ip: invalid operation');
    return ipTest(value);
  }
  if (op === '|=' || op === '!=') return (line) => line.includes(value);
  if (op === '|~' || op === '!~') return compileRe2(value).test;
  const pattern = parseLinePattern(value);
  return (line) => matchesLine(pattern, line);
}
