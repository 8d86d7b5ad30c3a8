import type { Node, SelectStmt } from 'libpg-query';
import { as } from '../ast.ts';
import { notSupported } from '../errors.ts';
import { printExpression } from './expression.ts';
import { printModification } from './modify.ts';
import { printSelect } from './select.ts';
import { createWriter, type Template, type Writer } from './template.ts';

/** What the printing functions need from each other: a writer, and a way down. */
export interface Printer extends Omit<Writer, 'done'> {
  readonly positionOf: (location: number | undefined) => number | undefined;
  expression(node: Node | undefined): void;
  select(statement: SelectStmt | undefined): void;
  /** Text before, an expression, text after. */
  wrap(before: string, node: Node | undefined, after: string): void;
  /** Text and expressions in turn. */
  around(parts: readonly (string | Node | undefined)[]): void;
  /** Expressions with a separator between. */
  list(before: string, nodes: readonly Node[], separator: string, after: string): void;
  /** `$n`, with the cast that `parameterTypes` asks for. */
  parameter(number: number): void;
}

export interface PrintOptions {
  readonly positionOf: (location: number | undefined) => number | undefined;
  /** DuckDB types of parameters by number - 1; undefined leaves a parameter bare, for DuckDB to infer its type. */
  readonly parameterTypes: readonly (string | undefined)[];
}

/** Prints a SELECT (or VALUES, or a set operation), an INSERT, UPDATE or DELETE whose passes are done. */
export function print(root: Node, options: PrintOptions): Template {
  return printed(options, (printer) => {
    if (!printModification(printer, root)) printer.select(as(root, 'SelectStmt'));
  });
}

/** Prints an expression whose passes are done. */
export const printValue = (node: Node, options: PrintOptions): Template =>
  printed(options, (printer) => printer.expression(node));

function printed(options: PrintOptions, write: (printer: Printer) => void): Template {
  const writer = createWriter();
  const printer: Printer = {
    text: writer.text,
    hole: writer.hole,
    mark: writer.mark,
    positionOf: options.positionOf,
    expression: (node) => printExpression(printer, node),
    select: (statement) => {
      if (!statement) throw notSupported('a statement that is not a SELECT here');
      printSelect(printer, statement);
    },
    wrap: (before, node, after) => printer.around([before, node, after]),
    around: (parts) => {
      for (const part of parts) {
        if (typeof part === 'string') writer.text(part);
        else printExpression(printer, part);
      }
    },
    list: (before, nodes, separator, after) => {
      writer.text(before);
      nodes.forEach((node, index) => {
        if (index > 0) writer.text(separator);
        printExpression(printer, node);
      });
      writer.text(after);
    },
    parameter: (number) => {
      const type = options.parameterTypes[number - 1];
      writer.text(type === undefined ? `$${number}` : `CAST($${number} AS ${type})`);
    },
  };
  write(printer);
  return writer.done();
}
