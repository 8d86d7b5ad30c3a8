import { randomInt } from 'node:crypto';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import type { z } from 'zod';
import {
  adoptionRequest,
  enrollRequest,
  fleetPath,
  fleetPaths,
  heartbeatRequest,
  sessionRequest,
  signRequest,
  uploadsRequest,
} from '../../provisioning/contract.ts';
import { adoptionPath } from '../../provisioning/device-code.ts';
import { refuse, refused } from '../tenants/admin-api.ts';
import { readJson } from '../tenants/read-json.ts';
import { adoptionPage } from './adoption-page.ts';
import { askForAdoption } from './adoptions.ts';
import type { Commands } from './commands.ts';
import { type EnrollmentOptions, enroll } from './enrollment.ts';
import type { Orders } from './orders.ts';
import type { Reports } from './reports.ts';
import type { DeviceAccess, Sessions } from './sessions.ts';
import type { Uploads } from './uploads.ts';
import type { WaitingDevices } from './waiting-devices.ts';

// What gateways ask for. Nothing here takes a key of a tenant: a gateway proves who it is by its own key.

export interface DeviceRoutesOptions {
  readonly enrollment: EnrollmentOptions;
  readonly sessions: Sessions;
  readonly waiting: WaitingDevices;
  readonly reports: Reports;
  readonly uploads: Uploads;
  readonly commands: Pick<Commands, 'takeResults'>;
  readonly orders: Orders;
  readonly heartbeatSeconds: number;
  /** Address that a request came from. */
  readonly addressOf: (c: Context) => string;
}

type DeviceEnv = { Variables: { device: DeviceAccess } };

export function deviceRoutes(options: DeviceRoutesOptions): Hono<DeviceEnv> {
  const { enrollment, sessions, reports, uploads, waiting, addressOf } = options;
  const app = new Hono<DeviceEnv>();
  app.use(`${fleetPath}/*`, shedding(requestsMax));
  const post = <Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    run: (c: Context<DeviceEnv>, body: z.infer<Schema>) => Promise<Response>,
    bytesMax = bodyBytesMax,
  ): void => {
    app.post(path, async (c) => {
      try {
        return await run(c, await readJson(c, schema, bytesMax));
      } catch (error) {
        return refused(c, error);
      }
    });
  };
  post(fleetPaths.enroll, enrollRequest, async (c, body) =>
    answer(c, await enroll(enrollment, body, addressOf(c))),
  );
  app.use(fleetPaths.adoption, async (c, next) =>
    waiting.waitMs(addressOf(c)) === 0 ? next() : askLater(c, 429, 'too many devices ask for adoption'),
  );
  post(
    fleetPaths.adoption,
    adoptionRequest,
    async (c, body) => answer(c, await askForAdoption(enrollment, waiting, body, addressOf(c))),
    adoptionBytesMax,
  );
  app.get(adoptionPath, adoptionPage);
  app.get(fleetPaths.challenge, (c) => answer(c, { challenge: sessions.challenge() }));
  post(fleetPaths.session, sessionRequest, async (c, { signed }) => {
    const session = await sessions.begin(signed);
    return session === undefined ? refuse(c, 401, notKnown) : answer(c, session);
  });
  // Whose token does not count is told so before anything that it has sent is looked at.
  const asGateway = <Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    run: (c: Context, who: DeviceAccess, body: z.infer<Schema>) => Promise<object>,
  ): void => {
    app.use(path, async (c, next) => {
      const [, token = ''] = /^Bearer (\S+)$/i.exec(c.req.header('authorization') ?? '') ?? [];
      const who = await sessions.accessOf(token);
      if (who === undefined) return refuse(c, 401, noSession);
      c.set('device', who);
      return next();
    });
    post(path, schema, async (c, body) => answer(c, await run(c, c.get('device'), body)));
  };
  asGateway(fleetPaths.heartbeat, heartbeatRequest, async (c, who, { report, results }) => {
    reports.take(who, report, addressOf(c));
    await options.commands.takeResults(who, results);
    return { againInSeconds: options.heartbeatSeconds, ...(await options.orders.ordersFor(who, report)) };
  });
  asGateway(fleetPaths.uploads, uploadsRequest, (_, who) => uploads.placeFor(who));
  asGateway(fleetPaths.sign, signRequest, async (_, who, request) => ({
    query: await uploads.sign(who, request),
  }));
  return app;
}

/** Of a request; what a command has put out is in a heartbeat. */
const bodyBytesMax = 256 * 1024;
/** Of a request that anybody can make. */
const adoptionBytesMax = 8 * 1024;
/** Requests of gateways that are answered at once; the others are told to come again. */
const requestsMax = 500;
/** When, in seconds: spread, so that they do not come together. */
const comeAgain = { min: 5, max: 60 } as const;

/** When all gateways come at once, as after an outage, those are answered that can be; nobody waits for long. */
function shedding(max: number): MiddlewareHandler {
  let underWay = 0;
  return async (c, next) => {
    if (underWay >= max) return askLater(c, 503, 'too many gateways ask at once');
    underWay++;
    try {
      await next();
    } finally {
      underWay--;
    }
  };
}

function askLater(c: Context, status: 429 | 503, why: string): Response {
  c.header('Retry-After', String(randomInt(comeAgain.min, comeAgain.max + 1)));
  return refuse(c, status, `${why}; come again later`);
}

const answer = (c: Context, data: object): Response => c.json({ status: 'success', data });

const notKnown =
  'this gateway is not known, or no more; if it is to be let in, enroll it with a claim for its id (firn claims create --gateway ID)';

const noSession = 'this token does not count, or no more: begin a session';
