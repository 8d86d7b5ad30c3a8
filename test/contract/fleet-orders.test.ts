import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Places, placesUnder } from '../../gateway/appliance/places.ts';
import { firmwareUpdates, installRequested, noteOutcome } from '../../gateway/appliance/requested-update.ts';
import { openCloudClient } from '../../gateway/fleet/cloud-client.ts';
import { runOrder } from '../../gateway/fleet/commands.ts';
import { makeKey } from '../../gateway/fleet/device-key.ts';
import { enrollOnce } from '../../gateway/fleet/enroll.ts';
import { type Identity, identityFolder } from '../../gateway/fleet/identity.ts';
import { type OrderState, openOrderState } from '../../gateway/fleet/order-state.ts';
import { openOrder } from '../../gateway/fleet/orders.ts';
import { openCloudSession } from '../../gateway/fleet/session.ts';
import { openTrial } from '../../gateway/fleet/trial.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { signJws } from '../../lake/base/jws.ts';
import { createLogger } from '../../lake/base/log.ts';
import {
  type CommandResult,
  commandDocument,
  commandType,
  configDocument,
  configType,
  firmwareDocument,
  firmwareType,
  fleetPaths,
  type GatewayReport,
  type HeartbeatAnswer,
} from '../../provisioning/contract.ts';
import { type FleetCloud, type MovedClock, movedClock, openFleetCloud } from './fleet-cloud.ts';

// Settings and commands, from the one who asks for them to the gateway that takes, tries or refuses them.

const folder = mkdtempSync(join(tmpdir(), 'firn-orders-'));
afterAll(() => rmSync(folder, { recursive: true }));
const startMs = Date.UTC(2026, 0, 1);
const logger = createLogger('silent');
const noProxy = { caFile: '', proxy: '' };

interface Box {
  readonly identity: Identity;
  readonly state: OrderState;
  beat(results?: CommandResult[], more?: Partial<GatewayReport>): Promise<HeartbeatAnswer>;
}

async function boxOf(cloud: FleetCloud, clock: MovedClock, id: string): Promise<Box> {
  const [made] = await cloud.admin<{ claim: string }[]>('POST', '/claims', { site: 'north', gateway: id });
  const dataDir = mkdtempSync(join(folder, 'gateway-'));
  const identity = await enrollOnce({
    dataDir,
    cloud: { ...noProxy, url: cloud.url },
    claim: made?.claim ?? '',
  });
  const client = openCloudClient({ ...noProxy, url: cloud.url });
  const session = openCloudSession({ client, identity, folder: identityFolder(dataDir), clock, logger });
  const state = openOrderState(identityFolder(dataDir), logger);
  const report: GatewayReport = { version: '1', uptimeSeconds: 1, clock: 'trusted', readings: {} };
  return {
    ...{ identity, state },
    beat: async (results = [], more = {}) => {
      const { said } = state;
      const body = { report: { ...report, ...(said && { config: said }), ...more }, results };
      return (await session.ask(fleetPaths.heartbeat, { body })) as HeartbeatAnswer;
    },
  };
}

const rollout = (cloud: FleetCloud, settings: object, more: object = {}) =>
  cloud.admin<{ number: number }>('POST', '/rollouts', { settings, stages: [100], bakeSeconds: 0, ...more });

describe('settings', () => {
  /** What a gateway does with them, when it is healthy or not. */
  function trialOf(box: Box, clock: MovedClock) {
    const ran: object[] = [];
    const gateway = { isHealthy: true, opens: true };
    const trial = openTrial({
      ...{ state: box.state, clock, logger, trialMsMax: 300_000 },
      target: {
        check: ({ wrong }) => {
          if (wrong !== undefined)
            throw new FirnError({
              code: 'invalid',
              operation: 'x',
              subject: 'wrong',
              message: 'wrong: no such field',
            });
        },
        run: async (settings) => {
          if (!gateway.opens) throw new Error('the port is taken');
          ran.push(settings);
        },
        isHealthy: () => gateway.isHealthy,
      },
    });
    const turn = async (): Promise<void> => {
      const { config } = await box.beat();
      trial.reached();
      if (config !== undefined) await trial.take(config, box.identity);
    };
    return { trial, turn, ran, gateway };
  }

  test('are tried, kept once they do well, and taken back when the rollout is halted', async () => {
    const clock = movedClock(startMs);
    await using cloud = await openFleetCloud(folder, clock);
    const box = await boxOf(cloud, clock, 'one');
    const { turn, ran, trial } = trialOf(box, clock);
    await turn();
    expect(ran).toEqual([]);
    await rollout(cloud, { seal: { intervalMs: 500 } });
    await turn();
    expect(ran).toEqual([{ seal: { intervalMs: 500 } }]);
    await turn(); // too early to be kept
    expect([trial.isRunning, box.state.said]).toEqual([true, { version: 1, state: 'trying' }]);
    clock.pass(11_000);
    await turn();
    expect([trial.isRunning, box.state.said]).toEqual([false, { version: 1, state: 'applied' }]);
    await cloud.admin('POST', '/rollouts/1/halt');
    clock.pass(1);
    await turn();
    expect(ran.at(-1)).toEqual({});
    clock.pass(11_000);
    await turn();
    expect(box.state.said).toEqual({ version: 0, state: 'applied' });
    expect((await box.beat()).config).toBeUndefined();
  });

  test.each([
    ['that are wrong are refused', { wrong: 1 }, {}, 'refused', 'wrong: no such field'],
    [
      'that it does not open with',
      {},
      { opens: false },
      'rolled-back',
      'could not be opened with them: the port is taken',
    ],
    ['with which it stores nothing', {}, { isHealthy: false }, 'rolled-back', 'nothing could be stored'],
    ['with which the cloud is lost', {}, {}, 'rolled-back', 'the cloud was not reached'],
  ])(
    '%s: it goes on with those before, and the rollout is halted',
    async (_, settings, how, state, detail) => {
      const clock = movedClock(startMs);
      await using cloud = await openFleetCloud(folder, clock);
      const box = await boxOf(cloud, clock, 'one');
      const { turn, ran, gateway, trial } = trialOf(box, clock);
      Object.assign(gateway, how);
      await rollout(cloud, { a: 1, ...settings });
      await turn();
      clock.pass(300_001);
      if (gateway.opens && !('wrong' in settings)) {
        await trial.watch();
        expect(ran).toEqual([{ a: 1 }, {}]);
      }
      expect(box.state.said).toMatchObject({ version: 1, state, detail: expect.stringContaining(detail) });
      expect(box.state.running).toEqual({ version: 0, settings: {} });
      // It is not told again what it has tried in vain; and once that is known, the rollout ends.
      expect((await box.beat()).config).toBeUndefined();
      await cloud.flush();
      expect(await cloud.admin('GET', '/rollouts')).toMatchObject([
        { state: 'halted', detail: '1 of 1 gateways refused it or rolled it back: one' },
      ]);
    },
  );

  test('that were tried when the gateway ended are taken back at its start', async () => {
    const clock = movedClock(startMs);
    await using cloud = await openFleetCloud(folder, clock);
    const box = await boxOf(cloud, clock, 'one');
    const dataDir = mkdtempSync(join(folder, 'state-'));
    openOrderState(dataDir, logger).begin({ version: 4, settings: { a: 1 } });
    const next = openOrderState(dataDir, logger);
    expect(next.said).toMatchObject({ version: 4, state: 'rolled-back' });
    expect(next.running).toEqual({ version: 0, settings: {} });
    expect(readFileSync(join(dataDir, 'orders.json'), 'utf8')).not.toContain('trying');
    expect(box.state.said).toBeUndefined();
  });
});

test('a rollout goes from the canary over its stages to everybody', async () => {
  const clock = movedClock(startMs);
  await using cloud = await openFleetCloud(folder, clock);
  const boxes: Box[] = [];
  for (const id of ['a', 'b', 'c', 'd']) boxes.push(await boxOf(cloud, clock, id));
  await cloud.admin('POST', '/gateways/a/group', { group: 'test' });
  await rollout(cloud, { x: 1 }, { canaries: ['a'], stages: [50, 100], bakeSeconds: 60 });
  const round = async (): Promise<string> => {
    for (const box of boxes) {
      const { config } = await box.beat();
      if (config !== undefined)
        box.state.same(openOrder(config, configType, configDocument, box.identity, 0).version);
    }
    for (const box of boxes) await box.beat();
    clock.pass(61_000);
    await cloud.flush();
    const [first] = await cloud.admin<{ state: string; stage: number }[]>('GET', '/rollouts');
    return `${first?.state} ${first?.stage} ${boxes.filter(({ state }) => state.said?.version === 1).length}`;
  };
  expect(await round()).toBe('running 0 1');
  expect(await round()).toMatch(/^running 1 [123]$/);
  expect(await round()).toBe('done 1 4');
  // One that comes later gets it too.
  const late = await boxOf(cloud, clock, 'late');
  expect((await late.beat()).config).toBeDefined();
});

test('a command is carried out once, and what came of it is known', async () => {
  const clock = movedClock(startMs);
  await using cloud = await openFleetCloud(folder, clock);
  const box = await boxOf(cloud, clock, 'one');
  const { id } = await cloud.admin<{ id: string }>('POST', '/gateways/one/commands', { command: 'logs' });
  const { commands } = await box.beat();
  const order = openOrder(commands[0] ?? '', commandType, commandDocument, box.identity, 0);
  expect(order).toMatchObject({ id, command: 'logs' });
  const target = {
    logs: async () => 'x'.repeat(30_000),
    restart: async () => '',
    'rotate-key': async () => '',
    diagnostic: async () => '',
  };
  const result = await runOrder(target, order.id, order.command);
  expect((await box.beat([result])).commands).toEqual([]);
  expect(await cloud.admin('GET', '/gateways/one/commands')).toMatchObject([
    { id, ok: true, createdBy: 'operator', output: 'x'.repeat(24_000) },
  ]);
  expect(await runOrder(target, 'x', 'format-disk')).toMatchObject({ ok: false });
  // Another gateway's results are not taken, and what has expired is not carried out.
  const other = await boxOf(cloud, clock, 'two');
  await cloud.admin('POST', '/gateways/one/commands', { command: 'restart', expiresInSeconds: 60 });
  const [waiting] = await cloud.admin<{ id: string }[]>('GET', '/gateways/one/commands');
  await other.beat([{ id: waiting?.id ?? '', ok: true, output: 'mine' }]);
  expect((await box.beat()).commands.length).toBe(1);
  clock.pass(61_000);
  await cloud.flush();
  expect((await box.beat()).commands).toEqual([]);
  await expect(cloud.admin('POST', '/gateways/one/commands', { command: 'format-disk' })).rejects.toThrow(
    '400 command',
  );
  await expect(cloud.admin('POST', '/gateways/none/commands', { command: 'logs' })).rejects.toThrow('404');
});

test('what the cloud has not signed for this gateway is not believed', async () => {
  const clock = movedClock(startMs);
  await using cloud = await openFleetCloud(folder, clock);
  await using foreign = await openFleetCloud(folder, clock);
  const [one, two] = [await boxOf(cloud, clock, 'one'), await boxOf(cloud, clock, 'two')];
  const stranger = await boxOf(foreign, clock, 'one');
  await rollout(cloud, { x: 1 });
  await rollout(foreign, { x: 666 });
  const real = (await one.beat()).config ?? '';
  const take = (text: string, afterMs = 0) =>
    openOrder(text, configType, configDocument, one.identity, afterMs);
  expect(take(real)).toMatchObject({ version: 1, settings: { x: 1 } });
  const payload = { tenant: 'acme', gateway: 'one', issuedMs: startMs, version: 9, settings: { x: 666 } };
  const signerOf = ({ identity: { certificates, key } }: Box) => ({ certificates, sign: key.sign });
  const other = await makeKey(join(folder, 'other.key'), 'file');
  const [head = '', , signature = ''] = real.split('.');
  const none = Buffer.from(JSON.stringify({ typ: configType, alg: 'none' })).toString('base64url');
  const body = Buffer.from(JSON.stringify(payload)).toString('base64url');
  const attempts: Record<string, string> = {
    'another cloud': (await stranger.beat()).config ?? '',
    'another gateway’s': (await two.beat()).config ?? '',
    'signed by a gateway': await signJws({ typ: configType }, payload, signerOf(two)),
    'signed by itself': await signJws({ typ: configType }, payload, signerOf(one)),
    'signed by nobody': `${none}.${body}.`,
    'with another content': `${head}.${body}.${signature}`,
    'with the cloud’s certificate and another key': await signJws({ typ: configType }, payload, {
      certificates: certificatesOf(real),
      sign: other.sign,
    }),
    nonsense: 'x.y.z',
  };
  for (const [what, text] of Object.entries(attempts))
    expect([what, attempt(() => take(text))]).toEqual([what, 'denied']);
  expect(attempt(() => take(real, startMs + 1))).toBe('denied');
  // A command is no configuration.
  await cloud.admin('POST', '/gateways/one/commands', { command: 'restart' });
  const [command = ''] = (await one.beat()).commands;
  expect(attempt(() => take(command))).toBe('denied');
});

const attempt = (work: () => unknown): string => {
  try {
    work();
    return 'taken';
  } catch (error) {
    return error instanceof FirnError ? error.code : String(error);
  }
};

function certificatesOf(jws: string): X509Certificate[] {
  const { x5c } = JSON.parse(Buffer.from(jws.split('.')[0] ?? '', 'base64url').toString()) as {
    x5c: string[];
  };
  return x5c.map((each) => new X509Certificate(Buffer.from(each, 'base64')));
}

describe('firmware', () => {
  const version = { next: '1.5.0', url: 'https://updates.example.com/firn-1.5.0-{architecture}.raucb' };

  /** A flashed gateway, as far as updates are concerned. */
  function flashed(): Places {
    const places = placesUnder(mkdtempSync(join(folder, 'root-')));
    for (const each of [places.config, places.gateway, places.updates, dirname(places.release)])
      mkdirSync(each, { recursive: true });
    writeFileSync(places.release, JSON.stringify({ version: '1.4.0', architecture: 'arm64' }));
    return places;
  }

  /** One heartbeat, and what the gateway does about it. */
  async function turn(box: Box, places: Places): Promise<boolean> {
    const updates = firmwareUpdates(places);
    const answer = await box.beat([], { firmware: updates?.said() });
    if (answer.firmware === undefined) return false;
    const order = openOrder(answer.firmware, firmwareType, firmwareDocument, box.identity, 0);
    updates?.request(order.rollout, order);
    return true;
  }

  const fetched: string[] = [];
  const fetchBundle = async (url: string): Promise<string> => {
    fetched.push(url);
    return join(folder, 'none.raucb');
  };

  test('is asked for once, installed, and the version that runs then ends the rollout', async () => {
    const clock = movedClock(startMs);
    await using cloud = await openFleetCloud(folder, clock);
    const box = await boxOf(cloud, clock, 'one');
    const plain = await boxOf(cloud, clock, 'two');
    const places = flashed();
    await cloud.admin('POST', '/rollouts', {
      firmware: { version: version.next, url: version.url },
      ...{ stages: [100], bakeSeconds: 0 },
    });
    expect((await plain.beat()).firmware).toBeUndefined();
    expect([await turn(box, places), await turn(box, places)]).toEqual([true, false]);
    await cloud.flush();
    expect(await cloud.admin('GET', '/gateways/one')).toMatchObject({
      report: { firmware: { version: '1.4.0', told: { rollout: 1, state: 'trying' } } },
    });
    // Where the network is away it is tried again, and nothing is said of a failure.
    const away = async (): Promise<string> => {
      throw new FirnError({ code: 'unavailable', operation: 'x', subject: 'x', message: 'away' });
    };
    const install = async () => undefined;
    await expect(installRequested({ places, install, fetchBundle: away })).rejects.toThrow('away');
    expect(firmwareUpdates(places)?.said().told?.state).toBe('trying');
    expect(await installRequested({ places, install, fetchBundle })).toBe(true);
    expect(fetched.at(-1)).toBe('https://updates.example.com/firn-1.5.0-arm64.raucb');
    writeFileSync(places.release, JSON.stringify({ version: version.next, architecture: 'arm64' }));
    await turn(box, places);
    await cloud.flush();
    expect(await cloud.admin('GET', '/rollouts')).toMatchObject([{ state: 'running' }]); // it is on trial
    noteOutcome(places, { rollout: 1, state: 'applied' });
    await turn(box, places);
    await cloud.flush();
    expect(await cloud.admin('GET', '/rollouts')).toMatchObject([{ number: 1, state: 'done' }]);
  });

  test('that is refused halts the rollout, and says why', async () => {
    const clock = movedClock(startMs);
    await using cloud = await openFleetCloud(folder, clock);
    const box = await boxOf(cloud, clock, 'one');
    const places = flashed();
    await cloud.admin('POST', '/rollouts', { firmware: { version: version.next, url: version.url } });
    await turn(box, places);
    const install = async (): Promise<never> => {
      throw new FirnError({
        code: 'denied',
        operation: 'x',
        subject: 'x',
        message: 'the signature is wrong',
      });
    };
    expect(await installRequested({ places, fetchBundle, install })).toBe(false);
    await turn(box, places);
    await cloud.flush();
    expect(await cloud.admin('GET', '/gateways/one')).toMatchObject({
      report: { firmware: { told: { rollout: 1, state: 'refused', detail: 'the signature is wrong' } } },
    });
    expect(await cloud.admin('GET', '/rollouts')).toMatchObject([{ state: 'halted' }]);
    expect(await turn(box, places)).toBe(false);
  });

  test.each([
    [{}, 'give one of them'],
    [{ setings: {} }, /setings.*fields are settings, firmware, description/],
    [{ settings: {}, firmware: { version: '1.0.0', url: 'https://x.example' } }, 'give one of them'],
    [{ firmware: { version: 'new', url: 'https://x.example' } }, 'firmware.version'],
    [{ firmware: { version: '1.0.0', url: 'file:///etc/passwd' } }, 'firmware.url'],
  ])('a rollout of %j is refused', async (body, why) => {
    await using cloud = await openFleetCloud(folder, movedClock(startMs));
    await expect(cloud.admin('POST', '/rollouts', body)).rejects.toThrow(why);
  });
});
