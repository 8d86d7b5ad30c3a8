import type { Labels } from '../../../model/labels.ts';

/** One value or line that a rule has found in a message. */
export type Reading = {
  /** The same for the same series, and only for it. */
  readonly key: string;
  readonly labels: () => Labels;
  /** What the device says; undefined: it says nothing. */
  readonly timestampUs: number | undefined;
} & (
  | {
      readonly kind: 'value';
      readonly value: number;
      readonly about: About | undefined;
      readonly stale?: boolean;
    }
  | { readonly kind: 'line'; readonly line: string; readonly severity: string }
);

/** What a metric is. */
export interface About {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly unit: string;
}

/** What reads the messages of one topic. */
export interface TopicReader {
  /** Name of the rule. */
  readonly rule: string;
  /** What it reads may change what other topics mean. */
  readonly learns?: boolean;
  /** Throws PayloadError. An empty array: there is nothing to store. */
  read(payload: Uint8Array, receivedUs: number): readonly Reading[];
}

/** One rule, or a source of rules that learns from messages. */
export interface TopicRule {
  readonly name: string;
  /** Topics whose retained messages it needs after a start. */
  readonly learnsFrom?: string;
  match(topic: string, levels: readonly string[]): TopicReader | undefined;
}

/** Any text as a classic metric name: [a-zA-Z_:][a-zA-Z0-9_:]* */
export function metricName(text: string): string {
  const name = text.replaceAll(/[^a-zA-Z0-9_:]/gu, '_');
  return /^[a-zA-Z_:]/.test(name) ? name : `_${name}`;
}
