import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import type { Places } from './places.ts';
import type { SlotName } from './slots.ts';

/** What an installed update is judged by after the restart. It is there until the judgement is told. */
export interface UpdateRecord {
  readonly fromVersion: string;
  readonly toVersion: string;
  /** The slot that the update was written to. */
  readonly slot: SlotName;
  /** Whether shipments reached the cloud then: only then must they after it. */
  readonly shipped: boolean;
  /** Of the cloud, that has asked for it. */
  readonly rollout?: number;
  /** `installing` until the bundle is written whole. */
  readonly stage: 'installing' | 'trying';
  /** Set by a trial that failed, for the slot that comes after it. */
  readonly failure?: string;
}

const pathOf = (places: Places): string => join(places.updates, 'update.json');

export function readUpdateRecord(places: Places): UpdateRecord | undefined {
  const path = pathOf(places);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as UpdateRecord) : undefined;
}

export const writeUpdateRecord = (places: Places, record: UpdateRecord): void =>
  writeSecretFile(pathOf(places), JSON.stringify(record));

export const forgetUpdate = (places: Places): void => rmSync(pathOf(places), { force: true });

export function readRelease(places: Places): { readonly version: string; readonly architecture: string } {
  return JSON.parse(readFileSync(places.release, 'utf8')) as { version: string; architecture: string };
}
