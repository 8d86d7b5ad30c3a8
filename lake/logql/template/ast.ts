/** Go's text/template, as far as line_format and label_format have it: readonly nodes, discriminated on `kind`. */
export type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipe: Pipe }
  | { readonly kind: 'if' | 'with'; readonly pipe: Pipe; readonly then: Nodes; readonly otherwise: Nodes }
  | { readonly kind: 'range'; readonly pipe: Pipe; readonly then: Nodes; readonly otherwise: Nodes }
  | { readonly kind: 'break' | 'continue' };
export type Nodes = readonly Node[];

export interface Pipe {
  /** Variables that it sets: `$x :=`, or two for range. */
  readonly variables: readonly string[];
  readonly declares: boolean;
  readonly commands: readonly Command[];
}
export type Command = readonly Operand[];

export type Operand =
  | { readonly kind: 'field'; readonly path: readonly string[]; readonly at: number }
  | { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: 'call'; readonly name: string; readonly at: number }
  | { readonly kind: 'pipe'; readonly pipe: Pipe; readonly path: readonly string[] }
  | { readonly kind: 'literal'; readonly value: string | number | bigint | boolean | null };

/** Values: strings, floats (number), integers (bigint), truth, times, lists, maps and nothing. */
export type Value =
  | string
  | number
  | bigint
  | boolean
  | null
  | Time
  | readonly Value[]
  | ReadonlyMap<string, Value>;
export interface Time {
  readonly kind: 'time';
  readonly ns: bigint;
  readonly zone: string;
}
export const isTime = (value: Value): value is Time =>
  typeof value === 'object' && value !== null && 'kind' in value;
