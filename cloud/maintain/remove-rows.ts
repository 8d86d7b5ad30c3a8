import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { hasCode } from '../../lake/base/errors.ts';
import { parseDocument } from '../../lake/model/document.ts';
import { decodeLong } from '../catalog/bounds.ts';
import { fieldIdOf } from '../catalog/initial-metadata.ts';
import type { DataFile, ManifestEntry } from '../catalog/manifest-file.ts';
import type { IcebergTable } from '../catalog/table.ts';
import { checkColumns, liveEntries } from './compact.ts';
import { raiseFence } from './fence.ts';
import { maintainPrefix } from './lease.ts';
import { noteRemoved } from './removed-files.ts';
import { lastExpiredDay, type RetentionRule } from './retention.ts';
import { keyOf, type RewriteOptions, rewriteFiles } from './rewrite.ts';
import { type DeleteRequest, finishDelete } from './row-deletes.ts';
import { nameOfRule, type RowRule } from './row-rules.ts';

// Rows that are to go: of days that nobody keeps any longer (whole files, by metadata alone), of series that are kept
// for shorter, and what a tenant asked to delete (files are written again without them). Each can be stopped at any
// moment and goes on where it was: what is done is told by the files that are there.

/** Files that one commit takes out. */
const filesDroppedMax = 10_000;

export interface Removed {
  readonly files: number;
  readonly rows: number;
}

/** Takes out whole days that no rule keeps; returns what went. Throws FirnError `conflict` as replaceFiles does. */
export async function dropExpiredDays(
  options: RewriteOptions,
  rules: readonly RetentionRule[],
): Promise<Removed> {
  const { table, epoch, replaceFiles, commitOptions = {} } = options;
  const days = rules
    .filter((rule) => rule.table === table.schema.table && rule.selector.trim() === '')
    .map((rule) => lastExpiredDay(rule, table.clock.nowMs()));
  const nothing = { files: 0, rows: 0 };
  if (days.length === 0) return nothing;
  const lastDay = Math.max(...days);
  const state = await table.load();
  if (!state.metadata) return nothing;
  const files = (await liveEntries(table, state))
    .map(({ file }) => file)
    .filter(({ day }) => day !== undefined && day <= lastDay)
    .slice(0, filesDroppedMax);
  if (files.length === 0) return nothing;
  const keys = files.map((file) => keyOf(table, file));
  await noteRemoved(table, keys, (commitOptions.uuid ?? randomUUID)());
  await replaceFiles(table, { replaced: files, added: undefined, epoch }, commitOptions);
  return { files: files.length, rows: files.reduce((sum, { rows }) => sum + rows, 0) };
}

/** Which files a rule may be about, and until which data sequence number. */
interface Scope {
  readonly rule: RowRule;
  readonly isDue: (entry: ManifestEntry) => boolean;
}

/**
 * Writes the files that may hold such rows again without them, until no file is left that was not looked at. Returns
 * the rows that went, and the sequence number up to which all is done.
 */
export async function removeRows(
  options: RewriteOptions,
  { rule, isDue }: Scope,
  checked: Set<string>,
): Promise<{ readonly rows: number; readonly sequenceNumber: number }> {
  const { table, epoch, commitOptions } = options;
  const mayHold = rowBounds(table, rule);
  for (let rows = 0; ; ) {
    // What a sleeping maintainer merges from now on would bring rows back under a later number.
    await raiseFence(table, epoch, commitOptions);
    const state = await table.load();
    if (!state.metadata) return { rows, sequenceNumber: 0 };
    checkColumns(table, state.metadata);
    const due = (await liveEntries(table, state)).filter(
      (entry) => isDue(entry) && mayHold(entry.file) && !checked.has(entry.file.path),
    );
    if (due.length === 0) return { rows, sequenceNumber: state.metadata.lastSequenceNumber };
    for (const { file } of due) {
      commitOptions?.signal?.throwIfAborted();
      const { day = 0 } = file;
      const group = `rows to delete of day ${day}`;
      const fileGroup = { group, day, files: [file], rows: file.rows };
      const { outcome, leftOut } = await rewriteFiles(options, fileGroup, [rule], { ifFewer: true });
      if (outcome !== 'superseded') checked.add(file.path);
      if (outcome === 'done') rows += leftOut;
    }
  }
}

/** Whether a file may hold a row that the rule is about, by its bounds. */
function rowBounds(table: IcebergTable, rule: RowRule): (file: DataFile) => boolean {
  const { schema } = table;
  const time = fieldIdOf(schema, 'timestamp');
  const nameField = schema.columns.find(({ name }) => name === 'name')?.fieldId ?? -1;
  const name = nameOfRule(rule);
  return ({ lowerBounds, upperBounds }) => {
    const [first, last] = [lowerBounds.get(time), upperBounds.get(time)];
    if (rule.toUs !== undefined && first && decodeLong(first) > BigInt(Math.floor(rule.toUs))) return false;
    if (rule.fromUs !== undefined && last && decodeLong(last) < BigInt(Math.ceil(rule.fromUs))) return false;
    if (name === undefined) return true;
    const [low, high] = [lowerBounds.get(nameField), upperBounds.get(nameField)];
    const text = Buffer.from(name);
    return !(low && Buffer.compare(text, low) < 0) && !(high && Buffer.compare(text, high) > 0);
  };
}

/**
 * Carries out a request for what is committed by now; returns it as it is when it is done. One that was interrupted
 * begins again with what is committed by then: merges in between have given rows a later number.
 */
export async function carryOutDelete(
  options: RewriteOptions,
  request: DeleteRequest,
): Promise<DeleteRequest> {
  const { table, epoch, commitOptions } = options;
  const { store, tenant, clock } = table;
  await raiseFence(table, epoch, commitOptions);
  const last = (await table.load()).metadata?.lastSequenceNumber ?? 0;
  const isDue = ({ sequenceNumber }: ManifestEntry): boolean => sequenceNumber <= last;
  const { selector, fromUs, toUs } = request;
  const rule = { selector, ...(fromUs !== undefined && { fromUs }), ...(toUs !== undefined && { toUs }) };
  const { rows } = await removeRows(options, { rule, isDue }, new Set());
  const done = { ...request, doneMs: clock.nowMs(), rowsDeleted: request.rowsDeleted + rows };
  await finishDelete(store, tenant, done);
  return done;
}

/** How far the rules for some series are: by their text, the day and the sequence number up to which all is done. */
const progressJson = z.record(z.string(), z.object({ day: z.number(), sequenceNumber: z.number() }));
type Progress = z.infer<typeof progressJson>;

/** Carries out the rules that are about some series; returns the rows that went. */
export async function expireSeries(
  options: RewriteOptions,
  rules: readonly RetentionRule[],
): Promise<number> {
  const { table } = options;
  const ours = rules.filter((rule) => rule.table === table.schema.table && rule.selector.trim() !== '');
  if (ours.length === 0) return 0;
  const progress = await readProgress(table);
  const next: Progress = {};
  let removed = 0;
  for (const rule of ours) {
    const name = `${rule.keepDays} ${rule.selector}`;
    const day = lastExpiredDay(rule, table.clock.nowMs());
    const done = progress[name] ?? { day: Number.MIN_SAFE_INTEGER, sequenceNumber: 0 };
    const isDue = ({ file, sequenceNumber }: ManifestEntry): boolean =>
      file.day !== undefined &&
      file.day <= day &&
      (file.day > done.day || sequenceNumber > done.sequenceNumber);
    const state = await table.load();
    const isNew = state.metadata && (await liveEntries(table, state)).some(isDue);
    if (isNew) {
      const scope = { rule: { selector: rule.selector }, isDue };
      const { rows, sequenceNumber } = await removeRows(options, scope, new Set());
      removed += rows;
      next[name] = { day, sequenceNumber };
    } else next[name] = { day: Math.max(day, done.day), sequenceNumber: done.sequenceNumber };
  }
  if (JSON.stringify(next) !== JSON.stringify(progress)) await writeProgress(table, next);
  return removed;
}

const progressKey = ({ tenant, schema }: IcebergTable): string =>
  `${maintainPrefix(tenant)}retention/${schema.table}.json`;

async function readProgress(table: IcebergTable): Promise<Progress> {
  const key = progressKey(table);
  try {
    const { body } = await table.store.get(key);
    return parseDocument(progressJson, Buffer.from(body).toString(), 'retention progress', key);
  } catch (error) {
    // Lost or damaged: everything is looked at again.
    if (hasCode(error, 'not-found') || hasCode(error, 'invalid')) return {};
    throw error;
  }
}

async function writeProgress(table: IcebergTable, progress: Progress): Promise<void> {
  await table.store.put(progressKey(table), Buffer.from(`${JSON.stringify(progress)}\n`));
}
