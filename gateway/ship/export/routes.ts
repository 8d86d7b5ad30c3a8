import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { readBody } from '../../../lake/api/receive/read-body.ts';
import { type ErrorCode, FirnError, messageOf } from '../../../lake/base/errors.ts';
import { receiptFileBytesMax } from '../../../lake/bundle/receipt-file.ts';
import { parseManifest } from '../../../lake/model/manifest.ts';
import type { BundleSource, ExportLedger } from './bundle-source.ts';
import type { ShipStatus } from './ship-status.ts';

// How `firn ship` talks to a gateway that runs and so holds its data folder. Clients name shipments by number and never
// a path; the gateway signs what it composed itself and nothing else; a receipt is believed by its signature.

export interface ExportRoutesOptions {
  readonly source: BundleSource;
  readonly ledger: ExportLedger;
  /** What `firn ship status` shows. */
  readonly status: () => Promise<ShipStatus>;
}

export const exportApi = '/api/v1/firn/ship';

const range = z.strictObject({
  epoch: z.number().int(),
  first: z.number().int(),
  last: z.number().int(),
});
const draftRequestSchema = z.strictObject({
  bytesMax: z.number().int().positive(),
  onlyNew: z.boolean(),
  skip: z.array(range),
});
const placeSchema = z.strictObject({ epoch: z.number().int(), number: z.number().int(), key: z.string() });

const statusOf: Partial<Record<ErrorCode, 400 | 403 | 404 | 413 | 422>> = {
  invalid: 400,
  denied: 403,
  'not-found': 404,
  limit: 413,
  corrupt: 422,
};

export function exportRoutes({ source, ledger, status }: ExportRoutesOptions): Hono {
  const app = new Hono().basePath(exportApi);
  app.onError((error, c) => {
    if (!(error instanceof FirnError)) throw error;
    const { code, subject, message, hint } = error;
    return c.json({ error: { code, subject, message, hint } }, statusOf[code] ?? 503);
  });
  app.get('/status', async (c) => c.json(await status()));
  app.get('/identity', async (c) => {
    const { publicKey, ...ids } = await source.identity();
    return c.json({ ...ids, publicKey: publicKey.pem });
  });
  app.post('/compose', async (c) => {
    await jsonOf(c, z.strictObject({}));
    await source.compose();
    return c.body(null, 204);
  });
  app.post('/bundle', async (c) => {
    const draft = await source.draft(await jsonOf(c, draftRequestSchema));
    if (!draft) return c.body(null, 204);
    const { indexText, signature, manifests } = draft;
    return c.json({ index: indexText, signature: Buffer.from(signature).toString('base64'), manifests });
  });
  app.get('/shipments/:epoch/:number/segments/:index', async (c) => {
    const path = segmentPathOf(ledger, c.req.param());
    const info = path === undefined ? undefined : await stat(path).catch(() => undefined);
    if (path === undefined || !info) throw notThere(c.req.path);
    const stream = Readable.toWeb(createReadStream(path, { highWaterMark: 256 * 1024 })) as ReadableStream;
    return c.body(stream, 200, {
      'Content-Type': 'application/vnd.apache.parquet',
      'Content-Length': String(info.size),
    });
  });
  app.post('/exported', async (c) => {
    await source.markExported(await jsonOf(c, range));
    return c.body(null, 204);
  });
  app.post('/damaged', async (c) =>
    c.json({ lostRows: await source.giveUpDamaged(await jsonOf(c, placeSchema)) }),
  );
  app.post('/receipt', async (c) => c.json(await source.applyReceiptFile(await textOf(c))));
  return app;
}

/** The local file of a segment that a shipment names, by numbers: nothing that a client says becomes part of a path. */
function segmentPathOf(
  ledger: ExportLedger,
  place: { readonly epoch: string; readonly number: string; readonly index: string },
): string | undefined {
  if (Number(place.epoch) !== ledger.epoch()) return undefined;
  const shipment = ledger.shipment(Number(place.number));
  const segment = shipment && parseManifest(shipment.manifest, 'manifest').segments[Number(place.index)];
  return segment && ledger.segmentPath(Number(place.number), segment.key);
}

/** The body as this schema says. Only as JSON by its type: a page in a browser can't send that to us unasked. */
async function jsonOf<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  const text = await textOf(c);
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw invalid(`the body is not valid: ${messageOf(cause).split('\n')[0]}`);
  }
}

async function textOf(c: Context): Promise<string> {
  if (!c.req.header('content-type')?.startsWith('application/json'))
    throw invalid('the body has to be of type application/json');
  const body = await readBody(c, receiptFileBytesMax);
  if (typeof body === 'string') throw invalid(`the body is ${body}`);
  return Buffer.from(body).toString();
}

const invalid = (message: string): FirnError =>
  new FirnError({ code: 'invalid', operation: 'export over HTTP', subject: 'request', message });

const notThere = (path: string): FirnError =>
  new FirnError({
    code: 'not-found',
    operation: 'export over HTTP',
    subject: path,
    message: `there is no such segment: ${path}`,
  });
