import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { createLogsBuilder } from '../../lake/receive/logs-builder.ts';
import { createMetricsBuilder } from '../../lake/receive/metrics-builder.ts';
import type { KnownTopic } from '../../lake/receive/mqtt/known-topics.ts';
import type { MqttMapper, MqttOutcome } from '../../lake/receive/mqtt/mapper.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';

/**
 * Between the broker and the log: publishes are mapped into shared columns, and thousands of them go into one append.
 * While the log refuses (its queue is full, the disk is full) nothing is acknowledged and the append is tried again;
 * publishers notice by their missing PUBACKs, and the broker stops reading from their connections.
 */
export interface PublishStore extends AsyncDisposable {
  /** Calls `done` when the message is on disk, in order of calls; with an error when it is not going to be. */
  store(topic: string, payload: Uint8Array, done: StoreCallback, age?: MessageAge): void;
  /** Stores without anyone waiting for it; when there is no room it is dropped and counted. */
  storeUnacknowledged(topic: string, payload: Uint8Array, age?: MessageAge): void;
  /** What the mapper knows of the topic whose name is bytes[start, end). */
  readonly topicAt: MqttMapper['topicAt'];
  /** Takes the message whose payload is bytes[start, end); false when there is no room. Then `endRun` has to be called. */
  take(topic: KnownTopic, bytes: Buffer, start: number, end: number): boolean;
  /**
   * Stores what was taken since the last call. Calls `done`, in order with those of `store`, when it is on disk; with an
   * error when it is not going to be. `acknowledged` of the messages are to be sent again then, and the others dropped.
   */
  endRun(
    messages: { readonly acknowledged: number; readonly unacknowledged: number },
    done: StoreCallback,
  ): void;
  readonly counts: StoreCounts;
}

/** `old`: a retained message that a subscription began with; without a time of its own it makes no rows. */
type MessageAge = 'old' | undefined;
type StoreCallback = (error?: Error) => void;
export type AppendBatch = (batch: Batch) => Promise<void>;

interface StoreCounts {
  received: number;
  deadLetters: number;
  /** Of their topics and payloads. */
  receivedBytes: number;
  /** QoS 0 messages dropped because a limit was met or the log refused them. */
  dropped: number;
  /** Publishes refused by closing the connection, so that they are sent again. */
  refused: number;
  /** Rows that are not on disk yet. */
  rowsInFlight: number;
}

export interface PublishStoreOptions {
  readonly append: AppendBatch;
  readonly mapper: MqttMapper;
  readonly cache: SeriesCache;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly inFlightRowsMax: number;
  readonly inFlightBytesMax: number;
  /** Called for QoS 0 messages that are dropped, with their time of receipt in µs (of the newest, where it is several). */
  readonly onDropped?: (receivedUs: number) => void;
}

/** An append is made of at most about so much, so that the log's queue can always take it. */
const appendRowsMax = 50_000;
const appendBytesMax = 1024 * 1024;
/** While an append is on its way, messages are collected until it is done, but no longer than this. */
const collectMs = 1;
const retryMinMs = 50;
const retryMaxMs = 2000;

interface Group {
  readonly batches: readonly Batch[];
  readonly rows: number;
  readonly bytes: number;
}

const noCounts = (): StoreCounts => ({
  ...{ received: 0, receivedBytes: 0, deadLetters: 0, dropped: 0, refused: 0, rowsInFlight: 0 },
});

export function createPublishStore(options: PublishStoreOptions): PublishStore {
  const counts = noCounts();
  const collector = createCollector(options, counts);
  const closing = new AbortController();
  const hasRoom = (): boolean => !closing.signal.aborted && collector.hasRoom();
  const countDropped = (messages: number): void => {
    counts.dropped += messages;
    if (messages > 0) options.onDropped?.(Math.round(options.clock.nowMs() * 1000));
  };
  const onRefused = ({ acknowledged, unacknowledged }: Waiting): void => {
    countDropped(unacknowledged);
    counts.refused += acknowledged;
  };
  const groups = createGroups(options, collector, onRefused, closing.signal);

  return {
    counts,
    store: (topic, payload, done, age) => {
      if (!hasRoom()) {
        counts.refused++;
        done(overloaded());
        return;
      }
      collector.map(topic, payload, age);
      groups.add(1, 0, done);
    },
    storeUnacknowledged: (topic, payload, age) => {
      if (!hasRoom()) return countDropped(1);
      collector.map(topic, payload, age);
      groups.add(0, 1);
    },
    topicAt: options.mapper.topicAt,
    take: (topic, bytes, start, end) => {
      if (!hasRoom()) return false;
      collector.mapBytes(topic, bytes, start, end);
      return true;
    },
    endRun: ({ acknowledged, unacknowledged }, done) => groups.add(acknowledged, unacknowledged, done),
    [Symbol.asyncDispose]: async () => {
      groups.flush();
      // What is on its way gets its chance; what the log refuses is not tried again.
      closing.abort(overloaded());
      await groups.answered();
    },
  };
}

/** Makes appends of what is collected: at once when nothing is on its way, else when there is enough of it. */
function createGroups(
  options: PublishStoreOptions,
  collector: Collector,
  onRefused: (waiting: Waiting) => void,
  closing: AbortSignal,
) {
  let waiting = nobody();
  let appending = 0;
  /** Appends are answered in order, so that acknowledgements are. */
  let answered: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let scheduled = false;

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    scheduled = false;
    if (waiting.callbacks.length === 0 && waiting.unacknowledged === 0) return;
    const group = collector.take();
    const theirs = waiting;
    waiting = nobody();
    appending++;
    const appended = appendAll(group.batches, options, closing);
    answered = Promise.all([answered, appended]).then(([, error]) => {
      appending--;
      collector.release(group);
      if (error !== undefined) onRefused(theirs);
      for (const done of theirs.callbacks) done(error);
      if (appending === 0) flush();
    });
  };
  return {
    flush,
    answered: (): Promise<void> => answered,
    /** Says who waits for the messages that were collected last. */
    add: (acknowledged: number, unacknowledged: number, done?: StoreCallback): void => {
      waiting.acknowledged += acknowledged;
      waiting.unacknowledged += unacknowledged;
      if (done !== undefined) waiting.callbacks.push(done);
      if (collector.isLarge()) flush();
      else if (appending > 0) timer ??= setTimeout(flush, collectMs);
      else if (!scheduled) {
        scheduled = true;
        setImmediate(flush);
      }
    },
  };
}

/** Who waits for the messages that were collected, and how many of these are to be acknowledged. */
const nobody = () => ({ callbacks: [] as StoreCallback[], acknowledged: 0, unacknowledged: 0 });

type Waiting = ReturnType<typeof nobody>;
type Collector = ReturnType<typeof createCollector>;

/** The columns that messages are mapped into, and what of them is not on disk yet. */
function createCollector(options: PublishStoreOptions, counts: StoreCounts) {
  const metrics = createMetricsBuilder();
  const logs = createLogsBuilder();
  const receiptUs = createReceiptClock(options.clock);
  let bytes = 0;
  let bytesInFlight = 0;
  let full = false;
  const rows = (): number => metrics.rows + logs.rows;
  const count = (outcome: MqttOutcome, rowsBefore: number, messageBytes: number): void => {
    counts.received++;
    counts.receivedBytes += messageBytes;
    if (outcome === 'dead-letter') counts.deadLetters++;
    counts.rowsInFlight += rows() - rowsBefore;
    bytes += messageBytes;
    bytesInFlight += messageBytes;
  };
  return {
    map: (topic: string, payload: Uint8Array, age: MessageAge): void => {
      const before = rows();
      const message = { topic, payload, receivedUs: receiptUs(), old: age === 'old' };
      count(options.mapper.map(message, metrics, logs), before, payload.length + topic.length);
    },
    mapBytes: (topic: KnownTopic, payload: Buffer, start: number, end: number): void => {
      const before = rows();
      const place = { topic, bytes: payload, start, end, receivedUs: receiptUs() };
      count(options.mapper.mapBytes(place, metrics, logs), before, end - start + topic.name.length);
    },
    isLarge: (): boolean => rows() >= appendRowsMax || bytes >= appendBytesMax,
    hasRoom: (): boolean => {
      const room = counts.rowsInFlight < options.inFlightRowsMax && bytesInFlight < options.inFlightBytesMax;
      if (!room && !full)
        options.logger.warn('too many MQTT messages wait for the disk, new ones are refused', { ...counts });
      full = !room;
      return room;
    },
    take: (): Group => {
      const group = { rows: rows(), bytes };
      bytes = 0;
      const filled = [metrics, logs].filter((builder) => builder.rows > 0);
      return { ...group, batches: filled.map((builder) => builder.finish()) };
    },
    release: (group: Group): void => {
      counts.rowsInFlight -= group.rows;
      bytesInFlight -= group.bytes;
    },
  };
}

/** Appends, again and again while the log says that it may work later. Returns the error that ended it, if any. */
async function appendAll(
  batches: readonly Batch[],
  { append, cache, clock, logger }: PublishStoreOptions,
  closing: AbortSignal,
): Promise<Error | undefined> {
  const one = async (batch: Batch): Promise<void> => {
    for (let waitMs = retryMinMs; ; waitMs = Math.min(waitMs * 2, retryMaxMs)) {
      try {
        await append(batch);
        cache.markDurable(batch.series);
        if (waitMs > retryMinMs) logger.info('MQTT messages are stored again');
        return;
      } catch (error) {
        if (!hasCode(error, 'limit') && !hasCode(error, 'unavailable')) throw error;
        if (waitMs === retryMinMs) logger.warn('MQTT messages cannot be stored yet', { error });
        await clock.sleep(waitMs, closing);
      }
    }
  };
  const outcomes = await Promise.allSettled(batches.map(one));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined) return undefined;
  const reason: unknown = failed.reason;
  logger.error('MQTT messages were refused, their senders have to send them again', { error: reason });
  return reason instanceof Error ? reason : overloaded();
}

/**
 * Time of receipt in µs. The wall clock has milliseconds; messages within one are told apart, or values that arrive on
 * one topic at once would have one timestamp. Follows the wall clock when it is set back.
 */
function createReceiptClock(clock: Clock): () => number {
  let last = 0;
  return () => {
    const now = Math.round(clock.nowMs() * 1000);
    last = now > last || last - now > 1_000_000 ? now : last + 1;
    return last;
  };
}

function overloaded(): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'store MQTT message',
    subject: 'publish',
    message: 'the gateway cannot store messages at the moment',
    hint: 'send again: it was not acknowledged',
  });
}
