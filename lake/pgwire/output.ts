import type { Duplex } from 'node:stream';
import { createByteWriter } from '../sql/cells/byte-writer.ts';
import type { SessionOutput } from './session.ts';

/** The client went away: nobody is left to tell. */
export class ClientGone extends Error {}

/** Buffers messages; a flush waits until the client has taken them. */
export function createOutput(socket: Duplex): SessionOutput {
  const writer = createByteWriter();
  return {
    writer,
    flush: async () => {
      const bytes = writer.take();
      if (!socket.writable) throw new ClientGone();
      if (bytes.length === 0) return;
      const isTaken = socket.write(bytes);
      // The system has taken all of it at once.
      if (socket.writableLength === 0) writer.giveBack();
      if (isTaken) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.once('drain', resolve);
      socket.once('close', resolve);
      await promise;
      socket.off('drain', resolve);
      socket.off('close', resolve);
      if (!socket.writable) throw new ClientGone();
    },
  };
}
