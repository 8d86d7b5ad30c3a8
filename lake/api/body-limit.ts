import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';

/** Answers a request whose body says or turns out to be larger with 413; it is not read on. */
export const limitBody = (bodyBytesMax: number): MiddlewareHandler =>
  bodyLimit({
    maxSize: bodyBytesMax,
    onError: (c: Context) => {
      const error = bodyTooLarge(bodyBytesMax);
      return c.json({ status: 'error', errorType: 'bad_data', error }, 413);
    },
  });

export const bodyTooLarge = (bodyBytesMax: number): string =>
  `the body is larger than ${bodyBytesMax} bytes (bodyBytesMax)`;
