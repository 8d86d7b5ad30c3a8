export interface FairQueueLimits {
  /** Queries that run at a time. */
  readonly runningMax: number;
  /** Of them, those of one tenant. */
  readonly runningPerTenantMax: number;
  /** Queries of one tenant that wait. */
  readonly waitingPerTenantMax: number;
}

/** The limits of the machines that Firn is meant for; Prometheus runs 20 queries at a time. */
const defaultFairQueueLimits: FairQueueLimits = {
  runningMax: 8,
  runningPerTenantMax: 6,
  waitingPerTenantMax: 256,
};

export interface FairQueue {
  /**
   * Runs `work` when it is its turn: tenants are served round robin. Throws what FairQueueErrors makes of it when too many
   * wait already, and when the signal is aborted first.
   */
  run<T>(tenant: string, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

/** In the words of those who ask. */
export interface FairQueueErrors {
  readonly refused: (message: string) => Error;
  readonly canceled: (cause: unknown) => Error;
}

interface Tenant {
  running: number;
  readonly waiting: (() => void)[];
}

export function createFairQueue(
  errors: FairQueueErrors,
  limits: FairQueueLimits = defaultFairQueueLimits,
): FairQueue {
  const { runningMax, runningPerTenantMax, waitingPerTenantMax } = limits;
  /** In the order in which they are served: who has just been served goes to the end. */
  const tenants = new Map<string, Tenant>();
  let running = 0;
  const serve = (): void => {
    for (const [name, tenant] of [...tenants]) {
      if (running >= runningMax) return;
      if (tenant.waiting.length === 0 || tenant.running >= runningPerTenantMax) continue;
      tenants.delete(name);
      tenants.set(name, tenant);
      tenant.waiting.shift()?.();
    }
  };
  return {
    run: async (name, signal, work) => {
      const tenant = tenants.get(name) ?? { running: 0, waiting: [] };
      tenants.set(name, tenant);
      if (tenant.waiting.length >= waitingPerTenantMax)
        throw errors.refused(
          `too many queries are waiting (waitingPerTenantMax = ${waitingPerTenantMax}); ask fewer at a time`,
        );
      await turn(tenant, signal);
      try {
        return await work();
      } finally {
        running--;
        tenant.running--;
        if (tenant.running === 0 && tenant.waiting.length === 0) tenants.delete(name);
        // Each turn that is free now: what waits may be of tenants that have all they may have.
        while (running < runningMax && canServe()) serve();
      }
    },
  };

  function canServe(): boolean {
    return [...tenants.values()].some((one) => one.waiting.length > 0 && one.running < runningPerTenantMax);
  }

  function turn(tenant: Tenant, signal: AbortSignal): Promise<void> {
    const start = (): void => {
      running++;
      tenant.running++;
    };
    if (running < runningMax && tenant.running < runningPerTenantMax && tenant.waiting.length === 0) {
      start();
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener('abort', onAbort);
        start();
        resolve();
      };
      const onAbort = (): void => {
        const index = tenant.waiting.indexOf(go);
        if (index >= 0) tenant.waiting.splice(index, 1);
        reject(errors.canceled(signal.reason));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      tenant.waiting.push(go);
    });
  }
}
