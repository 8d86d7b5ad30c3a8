import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Clock } from '../../lake/base/clock.ts';
import { makeAccessToken, openAccessToken } from '../tenants/access-token.ts';
import type { Directory } from '../tenants/directory.ts';
import type { Logins } from '../tenants/logins.ts';

// `POST /v1/oauth/tokens`: deprecated in the specification, and what DuckDB, ClickHouse, pyiceberg and the Java clients
// use by default. client_id and client_secret are id and secret of a key. Errors have OAuth's form, not ErrorModel's.

/** A token lasts so long; clients ask for a new one before. */
const tokenSeconds = 3600;
const bodyBytesMax = 64 * 1024;
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token';

export interface TokenOptions {
  readonly keys: Directory;
  readonly logins: Logins;
  readonly addressOf: (c: Context) => string;
  readonly clock: Clock;
}

export function tokenRoutes(options: TokenOptions): Hono {
  const app = new Hono();
  const tooLarge = (c: Context): Response =>
    refused(c, 413, 'invalid_request', `the body is larger than ${bodyBytesMax} bytes (bodyBytesMax)`);
  app.post('/v1/oauth/tokens', bodyLimit({ maxSize: bodyBytesMax, onError: tooLarge }), async (c) => {
    const form = new URLSearchParams(await c.req.text());
    switch (form.get('grant_type')) {
      case 'client_credentials': {
        const { id, secret } = clientOf(c, form);
        const known = options.logins.of(id, secret, options.addressOf(c)) !== undefined;
        return known
          ? granted(c, options, id, form)
          : refused(c, 401, 'invalid_client', 'client_id and client_secret are not id and secret of a key');
      }
      case exchange: {
        const access = openAccessToken(options.keys, form.get('subject_token') ?? '', options.clock.nowMs());
        return access
          ? granted(c, options, access.keyId, form)
          : refused(c, 401, 'invalid_client', 'subject_token is not a token of this catalog, or is over');
      }
      default:
        return refused(
          c,
          400,
          'unsupported_grant_type',
          'grant_type is client_credentials or token-exchange',
        );
    }
  });
  return app;
}

/** In the form, or as basic authentication (RFC 6749, 2.3.1). */
function clientOf(c: Context, form: URLSearchParams): { readonly id: string; readonly secret: string } {
  const secret = form.get('client_secret');
  if (secret !== null) return { id: form.get('client_id') ?? '', secret };
  const basic = /^basic +(.+)$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? '';
  const text = Buffer.from(basic, 'base64').toString();
  const colon = text.indexOf(':');
  return { id: text.slice(0, Math.max(colon, 0)), secret: text.slice(colon + 1) };
}

function granted(c: Context, { keys, clock }: TokenOptions, key: string, form: URLSearchParams): Response {
  c.header('Cache-Control', 'no-store');
  return c.json({
    access_token: makeAccessToken(keys, key, clock.nowMs() + tokenSeconds * 1000),
    token_type: 'bearer',
    expires_in: tokenSeconds,
    issued_token_type: accessTokenType,
    scope: form.get('scope') ?? 'catalog',
  });
}

const refused = (c: Context, status: 400 | 401 | 413, error: string, description: string): Response =>
  c.json({ error, error_description: description }, status);
