import type { Signal } from './batch.ts';

/** What a stream is worth when not everything can be kept or sent: the most valuable first. */
export const streamClasses = ['alarms', 'metrics', 'logs'] as const;
export type StreamClass = (typeof streamClasses)[number];

const classes: Readonly<Record<string, StreamClass>> = {
  metrics: 'metrics',
  metrics_1m: 'metrics',
  exemplars: 'metrics',
  logs: 'logs',
  spans: 'logs',
  events: 'logs',
  // What is known to be missing is worth more than what is there.
  gaps: 'alarms',
};

/** Signals that come from outside: what is lost without a trace may have been any of them. */
export const receivedSignals: readonly Signal[] = ['metrics', 'logs', 'exemplars', 'spans', 'events'];

/** The class of a stream that no selector of `classes.alarms` matches. A signal that is not listed is the least. */
export const classOfSignal = (signal: Signal): StreamClass => classes[signal] ?? 'logs';
