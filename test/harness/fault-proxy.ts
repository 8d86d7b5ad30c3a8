import { once } from 'node:events';
import {
  Agent,
  createServer as createHttpServer,
  request as forward,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { createLine, type LineFaults } from './fault-line.ts';

// A proxy before an HTTP server (an S3 service) or any TCP server, with faults that a test switches on and off. The
// outer half is a line: slow, silent, closed. The inner half, only for HTTP, spoils single requests.

export interface FaultProxy extends AsyncDisposable {
  readonly port: number;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Of HTTP: the newest `requestsKept`, with what became of them. */
  readonly requests: readonly SeenRequest[];
  /** How many requests of this method, or of all, since the start or `forget`. */
  count(method?: string): number;
  forget(): void;
  /** Bytes passed from clients to the server and back, since the start. */
  readonly bytes: { readonly up: number; readonly down: number };
  /** Replaces the faults of the line. Resolves when it is so. */
  setLine(faults: LineFaults & { readonly refuse?: boolean }): Promise<void>;
  /** Adds a fault for single requests. The first that applies counts. Returns how to take it away. */
  spoil(fault: RequestFault): () => void;
  /** Cuts every connection now. */
  cut(): void;
  /** Takes all faults away. */
  heal(): Promise<void>;
}

type RequestFault = {
  /** Which requests; default all. */
  readonly match?: (request: SeenRequest) => boolean;
  /** So many of them; default all until it is taken away. */
  readonly times?: number;
  /** Of those that match; drawn from the proxy's seed. Default 1. */
  readonly probability?: number;
} & (
  | {
      /** Answers with an S3 error, and the server never sees the request: 503, 403, ... */
      readonly kind: 'status';
      readonly status: number;
      /** The S3 error code. */
      readonly code?: string;
      readonly retryAfterSeconds?: number;
    }
  /** Cuts the connection in the middle of the request's body; the server sees half of it. */
  | { readonly kind: 'drop-request' }
  /** The server does what it is asked; the connection is cut in the middle of its answer. */
  | { readonly kind: 'drop-answer' }
  /** The server does what it is asked; of its answer not a byte arrives. */
  | { readonly kind: 'lose-reply' }
);

interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Of the body, as announced. */
  readonly bodyBytes: number;
  /** What the client was answered; a kind of fault; undefined while it is under way. */
  readonly outcome: number | RequestFault['kind'] | 'broken' | undefined;
}

export interface FaultProxyOptions {
  readonly targetPort: number;
  readonly targetHost?: string;
  /** `tcp` knows no requests: only faults of the line. */
  readonly protocol?: 'http' | 'tcp';
  /** Absent: a free one. */
  readonly port?: number;
  /** Of the draws for `probability`. */
  readonly seed?: number;
}

const requestsKept = 10_000;

export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const { protocol = 'http', targetHost = '127.0.0.1', targetPort, seed = 1 } = options;
  const target = { host: targetHost, port: targetPort };
  const spoiler = createSpoiler(target, seed);
  const inner =
    protocol === 'http' ? await listen(createHttpServer(spoiler.handle), 0, '127.0.0.1') : undefined;
  const line = createLine(() =>
    inner === undefined ? connect(target) : connect({ host: '127.0.0.1', port: portOf(inner) }),
  );
  let outer: Server | undefined = await listen(createServer(line.accept), options.port ?? 0, '127.0.0.1');
  const port = portOf(outer);

  const refuse = async (): Promise<void> => {
    const server = outer;
    outer = undefined;
    const closed = server === undefined ? undefined : once(server, 'close');
    server?.close();
    line.cut();
    await closed;
  };
  const setLine: FaultProxy['setLine'] = async ({ refuse: closed = false, ...faults }) => {
    line.set(faults);
    if (closed) await refuse();
    else outer ??= await listen(createServer(line.accept), port, '127.0.0.1');
  };
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    requests: spoiler.requests,
    count: spoiler.count,
    forget: spoiler.forget,
    bytes: line.bytes,
    setLine,
    spoil: spoiler.spoil,
    cut: line.cut,
    heal: async () => {
      spoiler.heal();
      await setLine({});
    },
    [Symbol.asyncDispose]: async () => {
      await refuse();
      spoiler.close();
      if (inner === undefined) return;
      const closed = once(inner, 'close');
      inner.close();
      inner.closeAllConnections();
      await closed;
    },
  };
}

async function listen<S extends Server>(server: S, port: number, host: string): Promise<S> {
  server.listen(port, host);
  await once(server, 'listening');
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

type Seen = { -readonly [K in keyof SeenRequest]: SeenRequest[K] };

function createSpoiler(target: { readonly host: string; readonly port: number }, seed: number) {
  const random = drawFrom(seed);
  const requests: SeenRequest[] = [];
  const counts = new Map<string, number>();
  let faults: { readonly fault: RequestFault; left: number }[] = [];
  // A connection for each request: one that is kept could be closed by the server just then, a fault nobody asked for.
  const agent = new Agent({ keepAlive: false });

  const pick = (seen: SeenRequest): RequestFault | undefined => {
    for (const entry of faults) {
      const { fault } = entry;
      if (entry.left <= 0 || !(fault.match?.(seen) ?? true)) continue;
      if (fault.probability !== undefined && random() >= fault.probability) continue;
      entry.left--;
      return fault;
    }
    return undefined;
  };

  return {
    requests,
    count: (method?: string) =>
      method === undefined
        ? [...counts.values()].reduce((sum, count) => sum + count, 0)
        : (counts.get(method) ?? 0),
    forget: () => {
      requests.length = 0;
      counts.clear();
    },
    spoil: (fault: RequestFault) => {
      const entry = { fault, left: fault.times ?? Number.POSITIVE_INFINITY };
      faults.push(entry);
      return () => {
        faults = faults.filter((other) => other !== entry);
      };
    },
    heal: () => {
      faults = [];
    },
    close: () => agent.destroy(),
    handle: (request: IncomingMessage, response: ServerResponse): void => {
      const { method = '', url = '' } = request;
      const bodyBytes = Number(request.headers['content-length'] ?? 0);
      const seen: Seen = { method, url, bodyBytes, outcome: undefined };
      counts.set(method, (counts.get(method) ?? 0) + 1);
      requests.push(seen);
      if (requests.length > requestsKept) requests.shift();
      const fault = pick(seen);
      if (fault?.kind === 'status') refuseWith(fault, request, response, seen);
      else pass({ ...target, agent }, fault?.kind, request, response, seen);
    },
  };
}

/** Reads the body first, as S3 services do: an answer before it would be another fault. */
function refuseWith(
  fault: RequestFault & { readonly kind: 'status' },
  request: IncomingMessage,
  response: ServerResponse,
  seen: Seen,
): void {
  const { status, code = 'ServiceUnavailable', retryAfterSeconds } = fault;
  request.resume();
  request.once('end', () => {
    seen.outcome = status;
    response.setHeader('content-type', 'application/xml');
    if (retryAfterSeconds !== undefined) response.setHeader('retry-after', retryAfterSeconds);
    response.writeHead(status);
    response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>fault</Message></Error>`);
  });
}

function pass(
  target: { readonly host: string; readonly port: number; readonly agent: Agent },
  fault: RequestFault['kind'] | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  seen: Seen,
): void {
  // Headers as they came: they are signed.
  const onward = forward({ ...target, method: seen.method, path: seen.url, headers: request.rawHeaders });
  const { socket } = request;
  const breakOff = (outcome: SeenRequest['outcome']): void => {
    seen.outcome ??= outcome;
    socket.destroy();
    onward.destroy();
  };
  onward.on('error', () => breakOff('broken'));
  request.on('error', () => breakOff('broken'));
  response.once('close', () => {
    if (!response.writableFinished) breakOff('broken');
  });
  onward.once('response', (answer) => {
    answer.on('error', () => breakOff('broken'));
    if (fault === 'lose-reply') {
      answer.resume();
      answer.once('end', () => breakOff(fault));
      return;
    }
    if (fault !== 'drop-answer') seen.outcome = answer.statusCode;
    response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    if (fault === 'drop-answer') void half(answer, response, () => breakOff(fault));
    else answer.pipe(response);
  });
  if (fault === 'drop-request') void half(request, onward, () => breakOff(fault));
  else request.pipe(onward);
}

/** Passes half of what is announced, or the first piece, then calls `done`. */
async function half(
  from: IncomingMessage,
  to: { write(bytes: Buffer): boolean; flushHeaders(): void },
  done: () => void,
): Promise<void> {
  const wanted = Math.floor(Number(from.headers['content-length'] ?? 2) / 2);
  to.flushHeaders();
  let passed = 0;
  try {
    for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      to.write(chunk.subarray(0, wanted - passed));
      passed += chunk.byteLength;
      if (passed >= wanted) break;
    }
  } finally {
    // What was written has to leave first.
    setTimeout(done, 5);
  }
}

/** Numbers from 0 up to 1 (mulberry32). */
function drawFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
