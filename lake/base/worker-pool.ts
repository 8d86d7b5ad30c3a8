import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';

// Threads for work that must not stall the thread that asks. Each job has a port of its own, by which both sides say what
// they have to; the thread gets the port with the job's first message.

export interface WorkerPool extends AsyncDisposable {
  /**
   * Starts a job by its first message, and gives the port on which it is talked about. Jobs of an owner go to the same
   * thread, which remembers what it has read for it, unless another has less to do.
   */
  start(owner: string, message: unknown): Job;
}

interface Job extends Disposable {
  readonly port: MessagePort;
  /** Rejects when the thread has ended; never resolves. */
  readonly failure: Promise<never>;
}

/** What a thread gets with each job. */
export interface JobStart<Message> {
  readonly port: MessagePort;
  readonly message: Message;
}

interface Thread {
  readonly worker: Worker;
  readonly jobs: Set<(error: Error) => void>;
}

export interface WorkerPoolOptions {
  /** The module that the threads run. */
  readonly module: URL;
  readonly workerData: unknown;
  readonly threads: number;
}

/** Threads start when they are first needed, and a new one where one has ended. */
export function createWorkerPool({ module, workerData, threads: threadsMax }: WorkerPoolOptions): WorkerPool {
  const threads: (Thread | undefined)[] = new Array<undefined>(threadsMax).fill(undefined);
  const startThread = (place: number): Thread => {
    const worker = new Worker(module, { workerData });
    const thread: Thread = { worker, jobs: new Set() };
    const drop = (error: Error): void => {
      if (threads[place] === thread) threads[place] = undefined;
      for (const fail of thread.jobs) fail(error);
      thread.jobs.clear();
    };
    worker.on('error', drop);
    worker.on('exit', () => drop(new Error('the thread that worked on it has ended')));
    worker.unref();
    threads[place] = thread;
    return thread;
  };
  const threadFor = (owner: string): Thread => {
    const busy = (place: number): number => threads[place]?.jobs.size ?? 0;
    let best = placeOf(owner, threadsMax);
    for (let place = 0; place < threadsMax; place++) if (busy(place) < busy(best)) best = place;
    return threads[best] ?? startThread(best);
  };
  return {
    start: (owner, message) => {
      const thread = threadFor(owner);
      const { port1: port, port2 } = new MessageChannel();
      const { promise: failure, reject } = Promise.withResolvers<never>();
      // Nobody need wait for it.
      failure.catch(() => undefined);
      thread.jobs.add(reject);
      thread.worker.postMessage({ port: port2, message } satisfies JobStart<unknown>, [port2]);
      return {
        port,
        failure,
        [Symbol.dispose]: () => {
          thread.jobs.delete(reject);
          port.close();
        },
      };
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(threads.map((thread) => thread?.worker.terminate()));
    },
  };
}

function placeOf(owner: string, places: number): number {
  let hash = 0;
  for (const letter of owner) hash = (hash * 31 + letter.charCodeAt(0)) >>> 0;
  return hash % places;
}
