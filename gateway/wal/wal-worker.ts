import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { openDatabase } from './database.ts';
import { errorDetail } from './error-detail.ts';
import type { AppendRequest, WalReply, WalRequest, WorkerOptions } from './wal-messages.ts';

// The thread that owns wal.db. Appends are collected into groups: one group, one transaction, one fsync. A group is
// committed commitIntervalMs after its first append, or at once when it is large or when a command follows it (so
// commands see everything that was appended before them).

const options = workerData as WorkerOptions;
const port = parentPort;
if (port === null) throw new Error('wal-worker.ts runs as a worker thread');
const reply = (message: WalReply): void => port.postMessage(message);

const database = openOrRefuse();
let group: AppendRequest[] = [];
let groupBytes = 0;
let groupRows = 0;
let timer: NodeJS.Timeout | undefined;

if (database !== undefined) {
  reply({ kind: 'opened', epoch: database.epoch, lastSeq: database.lastSeq() });
  port.on('message', (request: WalRequest) => {
    handle(request);
    if (options.commitIntervalMs === 0) drainAndCommit();
  });
}

function openOrRefuse(): ReturnType<typeof openDatabase> | undefined {
  try {
    return openDatabase(options);
  } catch (error) {
    reply({ kind: 'refused', error: errorDetail('open WAL', options.path, error) });
    return undefined;
  }
}

function handle(request: WalRequest): void {
  if (request.kind === 'append') {
    collect(request);
    return;
  }
  commitGroup();
  if (database === undefined) return;
  try {
    if (request.kind === 'close') database.close();
    else if (request.kind !== 'flush') database.run(request);
    reply({ kind: 'done', ids: [request.id], lastSeq: request.kind === 'close' ? 0 : database.lastSeq() });
  } catch (error) {
    reply({ kind: 'failed', ids: [request.id], error: errorDetail(request.kind, options.path, error) });
  }
}

function collect(request: AppendRequest): void {
  group.push(request);
  groupBytes += request.payload.byteLength;
  groupRows += request.rows;
  if (groupBytes >= options.commitBytesMax || groupRows >= options.commitRowsMax) commitGroup();
  else if (options.commitIntervalMs > 0) timer ??= setTimeout(commitGroup, options.commitIntervalMs);
}

/** Takes what came in while the last commit was on its way, and commits it together. */
function drainAndCommit(): void {
  if (port === null) return;
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
    handle(next.message as WalRequest);
  commitGroup();
}

function commitGroup(): void {
  clearTimeout(timer);
  timer = undefined;
  if (group.length === 0 || database === undefined) return;
  const appends = group;
  group = [];
  groupBytes = 0;
  groupRows = 0;
  const ids = appends.map(({ id }) => id);
  try {
    database.append(appends);
    reply({ kind: 'done', ids, lastSeq: database.lastSeq() });
  } catch (error) {
    reply({ kind: 'failed', ids, error: errorDetail('append to WAL', options.path, error) });
  }
}
