import { parentPort, workerData } from 'node:worker_threads';
import { makeSiteAuthority, makeSiteCertificate } from './issue-certificate.ts';

// Runs in a thread that ends: the library that makes certificates takes more memory than a gateway has to spare.

const asked = workerData as
  | { readonly make: 'authority'; readonly name: string }
  | ({ readonly make: 'certificate' } & Parameters<typeof makeSiteCertificate>[0]);
parentPort?.postMessage(
  asked.make === 'authority' ? await makeSiteAuthority(asked.name) : await makeSiteCertificate(asked),
);
