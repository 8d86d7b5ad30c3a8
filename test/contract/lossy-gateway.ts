import { createHash } from 'node:crypto';
import { hasCode } from '../../lake/base/errors.ts';
import { type Signal, signals } from '../../lake/model/batch.ts';
import { gatewayId } from '../../lake/model/ids.ts';
import { receiptKey, segmentKey, segmentName } from '../../lake/model/keys.ts';
import type { ManifestSegment, ShipmentManifest } from '../../lake/model/manifest.ts';
import { parseReceipt } from '../../lake/model/receipt.ts';
import { classOfSignal } from '../../lake/model/stream-class.ts';
import { tenant } from './lake-fixtures.ts';
import type { MemoryStore } from './memory-store.ts';
import { firstDayUs, manifestUpload, segmentBody, type Upload } from './shipments.ts';

// The shipping side of a gateway as the design has it, without its disk: seals, uploads, composes, puts manifests in
// order and only if absent, reads receipts, and loses its log at any moment. What is sealed survives, because segments
// are files.

const gateway = gatewayId('gw-1');

interface Segment {
  readonly segment: ManifestSegment;
  readonly body: Uint8Array;
  state: 'sealed' | 'uploaded' | 'composed' | 'committed';
}

export interface LossyGateway {
  readonly segments: readonly Segment[];
  /** One thing that it could do now, chosen by `random`. */
  step(random: () => number): Promise<void>;
  /** Its log is gone. `receipts`: whether it still knows what was committed. Puts under way may yet arrive. */
  lose(receipts: boolean, random: () => number): void;
  /** Puts that were under way when a log was lost: each may arrive at any time, or never. */
  readonly late: Upload[];
  /** It has a receipt for everything. */
  isDone(): boolean;
  /** A second device with a copy of the log. */
  copy(): LossyGateway;
}

interface State {
  readonly segments: Segment[];
  epoch: number;
  number: number;
  /** Composed and not put yet, in order. */
  outgoing: { readonly manifest: ShipmentManifest; readonly of: readonly Segment[] }[];
  /** Put, without a receipt. */
  put: { readonly number: number; readonly of: readonly Segment[] }[];
  seq: number;
}

const fresh = (): State => ({ segments: [], epoch: 1, number: 0, outgoing: [], put: [], seq: 0 });

/** `firstSeq` keeps the names of two devices apart: what they seal after one was copied is not the same. */
export function lossyGateway(
  store: MemoryStore,
  sealsMax: number,
  firstSeq = 0,
  state: State = fresh(),
): LossyGateway {
  let seals = 0;
  const late: Upload[] = [];

  function seal(signal: Signal): void {
    const seq = firstSeq + state.seq++;
    const place = { epoch: state.epoch, fromSeq: seq * 10, toSeq: seq * 10 + 10, day: '2023-11-14' };
    const key = segmentKey(tenant, gateway, signal, segmentName(place));
    const body = segmentBody(`segment ${key}\n`);
    const sha256 = createHash('sha256').update(body).digest('hex');
    const times = { minTimestampUs: firstDayUs, maxTimestampUs: firstDayUs };
    const shape = { day: place.day, rows: 1, bytes: body.byteLength, sha256, bounds: {}, ...times };
    const marks = { class: classOfSignal(signal), clock: 'trusted', columns: 'field-ids' } as const;
    state.segments.push({ segment: { key, signal, ...shape, ...marks }, body, state: 'sealed' });
    seals++;
  }

  function compose(of: readonly Segment[]): void {
    for (const each of of) each.state = 'composed';
    const identity = { tenant, site: 'plant', gateway, epoch: state.epoch, number: ++state.number };
    const segments = of.map(({ segment }) => segment);
    const manifest = { format: 2, ...identity, composedUs: 1, segments, metadata: [], progress: {} } as const;
    state.outgoing.push({ manifest: { ...manifest, segments, metadata: [] }, of });
  }

  function beginEpoch(epoch: number): void {
    state.epoch = epoch;
    state.number = 0;
    state.outgoing = [];
    state.put = [];
    for (const each of state.segments) if (each.state === 'composed') each.state = 'uploaded';
  }

  async function putManifest(): Promise<void> {
    const [first] = state.outgoing;
    if (first === undefined) return;
    const { key, body } = manifestUpload(first.manifest);
    try {
      await store.putIfAbsent(key, body);
      state.outgoing.shift();
      state.put.push({ number: first.manifest.number, of: first.of });
    } catch (error) {
      if (!hasCode(error, 'conflict')) throw error;
      // Somebody else ships as this gateway.
      beginEpoch(state.epoch + 1);
    }
  }

  async function readReceipt(): Promise<void> {
    const key = receiptKey(tenant, gateway);
    const body = store.objects.get(key);
    if (body === undefined) return;
    const receipt = parseReceipt(Buffer.from(body).toString(), key);
    if (receipt.epoch > state.epoch) beginEpoch(receipt.epoch + 1);
    if (receipt.epoch !== state.epoch) return;
    for (const { number, of } of state.put)
      if (number <= receipt.number) for (const each of of) each.state = 'committed';
    state.put = state.put.filter(({ number }) => number > receipt.number);
  }

  return {
    segments: state.segments,
    late,
    step: async (random) => {
      const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)];
      const choice = random();
      if (choice < 0.2 && seals < sealsMax) return seal(pick(signals) ?? 'metrics');
      if (choice < 0.4) {
        const next = pick(state.segments.filter((each) => each.state === 'sealed'));
        if (next === undefined) return;
        await store.put(next.segment.key, next.body);
        next.state = 'uploaded';
      } else if (choice < 0.6) {
        const uploaded = state.segments.filter((each) => each.state === 'uploaded' && random() < 0.7);
        if (uploaded.length > 0 || random() < 0.05) compose(uploaded);
      } else if (choice < 0.8) await putManifest();
      else await readReceipt();
    },
    lose: (receipts, random) => {
      const [first] = state.outgoing;
      if (first !== undefined && random() < 0.5) late.push(manifestUpload(first.manifest));
      beginEpoch(state.epoch + 1);
      for (const each of state.segments) if (!receipts && each.state === 'committed') each.state = 'uploaded';
    },
    isDone: () =>
      seals >= sealsMax &&
      state.outgoing.length === 0 &&
      state.segments.every((each) => each.state === 'committed'),
    copy: () => {
      const segments = state.segments.map((each) => ({ ...each }));
      const again = (of: readonly Segment[]): Segment[] =>
        of.flatMap((each) => segments[state.segments.indexOf(each)] ?? []);
      return lossyGateway(store, sealsMax, firstSeq + 1_000_000, {
        ...state,
        segments,
        outgoing: state.outgoing.map(({ manifest, of }) => ({ manifest, of: again(of) })),
        put: state.put.map(({ number, of }) => ({ number, of: again(of) })),
      });
    },
  };
}
