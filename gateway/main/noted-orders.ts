import type { FirmwareUpdates } from '../appliance/requested-update.ts';
import type { Audit } from '../security/audit.ts';

/** What the cloud has the gateway do, with a line in the audit log for each. */
export function notedOrders({ note }: Pick<Audit, 'note'>) {
  const line = (action: string, subject: string, result: 'done' | 'refused'): void =>
    note({ actor: 'cloud', address: '', action, subject, result });
  return {
    noted: async <T>(action: string, subject: string, work: () => Promise<T>): Promise<T> => {
      try {
        const done = await work();
        line(action, subject, 'done');
        return done;
      } catch (error) {
        line(action, subject, 'refused');
        throw error;
      }
    },
    notedUpdates: (updates: FirmwareUpdates): FirmwareUpdates => ({
      ...updates,
      request: (rollout, wanted) => {
        updates.request(rollout, wanted);
        line('ask for update', wanted.version, 'done');
      },
    }),
  };
}
