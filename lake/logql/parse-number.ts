import { messageOf } from '../base/errors.ts';
import { parseError } from './errors.ts';
import { accept, expect, type Parser } from './parser.ts';
import { parseGoFloat } from './units.ts';

/** A number with its sign, if it has one. */
export function readNumber(parser: Parser): number {
  const sign = accept(parser, '+', '-')?.name === '-' ? -1 : 1;
  const { text } = expect(parser, 'NUMBER');
  return sign * numberOf(text, 'literal');
}

export function numberOf(text: string, what: 'literal' | 'vector'): number {
  try {
    // Go's literals may have `_` between digits.
    return parseGoFloat(/^0[xXbBoO]/.test(text) ? text : text.replace(/(?<=[0-9])_(?=[0-9])/g, ''));
  } catch (cause) {
    throw parseError(`unable to parse ${what} as a float: ${messageOf(cause)}`);
  }
}
