import { z } from 'zod';
import { FirnError, messageOf } from '../../../lake/base/errors.ts';
import { parseBundleIndex } from '../../../lake/bundle/bundle-index.ts';
import type { BundleDraft } from '../../../lake/bundle/draft-bundle.ts';
import { parsePublicKey } from '../../../lake/bundle/signing-key.ts';
import { parseManifest } from '../../../lake/model/manifest.ts';
import { type BundleSource, shipmentIndexOf, unreadable } from './bundle-source.ts';
import { exportApi } from './routes.ts';

const identitySchema = z.object({
  tenant: z.string(),
  site: z.string(),
  gateway: z.string(),
  epoch: z.number(),
  publicKey: z.string(),
});
const draftSchema = z.object({ index: z.string(), signature: z.base64(), manifests: z.array(z.string()) });
const damagedSchema = z.object({ lostRows: z.number() });
const receiptSchema = z.object({
  epoch: z.number(),
  number: z.number(),
  outcome: z.enum(['applied', 'foreign', 'old']),
});
const errorSchema = z.object({
  error: z.object({
    code: z.enum([
      'invalid',
      'denied',
      'not-found',
      'limit',
      'corrupt',
      'unavailable',
      'conflict',
      'unsupported',
    ]),
    subject: z.string(),
    message: z.string(),
    hint: z.string().optional(),
  }),
});

type Ask = (path: string, init?: { readonly method: string; readonly body: string }) => Promise<Response>;

/** Bundles of a gateway that runs; `url` is that of its HTTP port. `credentials`: headers that let in. */
export function httpSource(url: string, credentials: Readonly<Record<string, string>> = {}): BundleSource {
  const base = `${url.replace(/\/$/, '')}${exportApi}`;
  const ask: Ask = (path, init) =>
    request(`${base}${path}`, {
      ...init,
      headers: { ...credentials, ...(init && { 'Content-Type': 'application/json' }) },
    });
  const post = (path: string, body: string): Promise<Response> => ask(path, { method: 'POST', body });
  return {
    identity: async () => {
      const { publicKey, ...ids } = identitySchema.parse(await (await ask('/identity')).json());
      return { ...ids, publicKey: parsePublicKey(publicKey, url) };
    },
    compose: async () => void (await post('/compose', '{}')),
    draft: async (wanted) => {
      const answer = await post('/bundle', JSON.stringify(wanted));
      if (answer.status === 204) return undefined;
      const { index: indexText, signature, manifests } = draftSchema.parse(await answer.json());
      const index = parseBundleIndex(indexText);
      return { index, indexText, signature: Buffer.from(signature, 'base64'), manifests };
    },
    readSegment: (draft, key) => download(ask, draft, key),
    markExported: async (range) => void (await post('/exported', JSON.stringify(range))),
    giveUpDamaged: async (place) =>
      damagedSchema.parse(await (await post('/damaged', JSON.stringify(place))).json()).lostRows,
    applyReceiptFile: async (text) => receiptSchema.parse(await (await post('/receipt', text)).json()),
  };
}

async function* download(
  ask: Ask,
  { index, manifests }: BundleDraft,
  key: string,
): AsyncGenerator<Uint8Array> {
  const at = shipmentIndexOf(manifests, key);
  const { segments } = parseManifest(manifests[at] ?? '', 'manifest');
  const place = segments.findIndex((segment) => segment.key === key);
  const path = `/shipments/${index.epoch}/${index.first + at}/segments/${place}`;
  const answer = await ask(path).catch((error: unknown) => {
    const gone = error instanceof FirnError && error.code === 'not-found';
    throw gone ? unreadable(key, error.message, error) : error;
  });
  if (!answer.body) return;
  try {
    yield* answer.body;
  } catch (cause) {
    // The gateway could not read on, or is gone; the next request tells which.
    throw unreadable(key, messageOf(cause), cause);
  }
}

/** Throws what the gateway says, or FirnError `unavailable` when it says nothing. */
async function request(url: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, init);
  } catch (cause) {
    throw unavailable(url, 'no gateway answers', cause);
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  const said = errorSchema.safeParse(jsonOf(text));
  if (said.success) {
    const { hint, ...error } = said.data.error;
    throw new FirnError({ ...error, operation: 'ask the gateway', ...(hint === undefined ? {} : { hint }) });
  }
  throw unavailable(url, `the gateway answered ${answer.status} ${text.slice(0, 200)}`, undefined);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unavailable(url: string, why: string, cause: unknown): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'ask the gateway',
    subject: url,
    message: `${why} at ${new URL(url).origin}`,
    hint: 'say where its HTTP port is with --gateway-url URL',
    cause,
  });
}
