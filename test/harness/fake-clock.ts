import { existsSync } from 'node:fs';

// Processes whose clock is another: by libfaketime (Debian's package faketime).

/** Debian's folder for libraries has the architecture in its name. */
const library: string | undefined = ['x86_64', 'aarch64']
  .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
  .find((path) => existsSync(path));

/** Environments of such processes; undefined where it is not installed. */
export const fakeClock =
  library === undefined
    ? undefined
    : {
        /** So much later than it is. */
        ahead: (ms: number) => ({ ...base(library), FAKETIME: `+${ms / 1000}s` }),
        /** As a file says, which may change while they run: `+10y`. */
        asFileSays: (path: string) => ({
          ...base(library),
          FAKETIME_TIMESTAMP_FILE: path,
          FAKETIME_NO_CACHE: '1',
        }),
      };

const base = (path: string) => ({ LD_PRELOAD: path, FAKETIME_DONT_FAKE_MONOTONIC: '1' });
