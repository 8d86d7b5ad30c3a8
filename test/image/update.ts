import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleOf, stickResult, stickWith, tampered, truncated } from './bundles.ts';
import { execute, healthy, personalisedDisk, publish, query, updateLog } from './device.ts';
import { type Machine, startMachine } from './machine.ts';
import type { Context } from './main.ts';

// Updates by USB stick, each scenario on a device that was just flashed.

/** A good one is kept. */
export async function updateScenario(context: Context): Promise<void> {
  const device = await deviceWithStick(context);
  writeFileSync(join(context.work, 'firn-support'), '');
  const good = await bundleOf(context, '0.2.0', 'none');
  await stickWith([join(context.work, 'firn-support'), good], device.stick);
  await tryUpdate(device, context, /update from 0\.1\.0 to 0\.2\.0: healthy, and kept/);
  const { stdout } = await execute('mdir', ['-b', '-i', device.stick, '::']);
  assert.match(stdout, /firn-support-press\.tar\.gz/i);
  context.say('the support bundle is on the stick');
}

/** One whose gateway does not start is left for the version before. */
export async function unhealthyScenario(context: Context): Promise<void> {
  const device = await deviceWithStick(context);
  await stickWith([await bundleOf(context, '0.3.0', 'unhealthy')], device.stick);
  await tryUpdate(device, context, /update from 0\.1\.0 to 0\.3\.0: failed, back on 0\.1\.0: .*broker/);
}

/** One whose kernel has nothing to start panics, three times. */
export async function panicScenario(context: Context): Promise<void> {
  const device = await deviceWithStick(context);
  await stickWith([await bundleOf(context, '0.4.0', 'does not start')], device.stick);
  await tryUpdate(
    device,
    context,
    /update from 0\.1\.0 to 0\.4\.0: failed, back on 0\.1\.0: slot . did not come up/,
  );
}

/** Bundles that are not what they should be change nothing. */
export async function refusalScenario(context: Context): Promise<void> {
  const { work, say } = context;
  const device = await deviceWithStick(context);
  const good = await bundleOf(context, '0.2.0', 'none');
  for (const [what, bundle, expected] of [
    ['one changed bit', tampered(good, join(work, 'tampered.raucb')), /update: failed/],
    ['cut in half', truncated(good, join(work, 'truncated.raucb')), /update: failed/],
    ['a foreign key', await bundleOf(context, '0.2.1', 'none', join(work, 'foreign-keys')), /update: failed/],
    ['an older version', await bundleOf(context, '0.0.9', 'none'), /older than/],
  ] as const) {
    await stickWith([bundle], device.stick);
    const machine = await device.start();
    try {
      await healthy(machine);
      await machine.waitFor(/firn: stick: /, 600_000);
      const result = await stickResult(device.stick);
      assert.match(result, expected);
      say(`${what}: refused: ${result.trim().split('\n').slice(1).join(' ').slice(0, 240)}`);
      await publish(machine, 'plant-7/press/temperature', '20');
    } finally {
      await machine.kill();
    }
  }
}

interface Device {
  readonly stick: string;
  start(): Promise<Machine>;
}

async function deviceWithStick(context: Context): Promise<Device> {
  const { architecture, work } = context;
  const disk = await personalisedDisk(context);
  const stick = join(work, 'stick.img');
  return { stick, start: () => startMachine({ architecture, work, stick, disk: { file: disk } }) };
}

/** Starts with the stick plugged in, and waits until the machine has judged what it installed. */
async function tryUpdate({ start }: Device, { say }: Context, outcome: RegExp): Promise<void> {
  const began = Date.now();
  const seconds = (): string => ((Date.now() - began) / 1000).toFixed(0);
  const machine = await start();
  try {
    await healthy(machine);
    await publish(machine, 'plant-7/press/temperature', '21');
    await machine.waitFor(/firn: stick: .*update: /, 900_000);
    say(`written after ${seconds()} s`);
    const [line] = await machine.waitFor(outcome, 2_700_000);
    say(`${line} (after ${seconds()} s)`);
    await healthy(machine, machine.console().search(outcome));
    assert.match((await updateLog(machine)).at(-1) ?? '', outcome);
    const [kept] = await query(machine, 'count_over_time(temperature[4h])');
    assert.ok((kept?.value ?? 0) > 0, 'what was received before is there');
  } finally {
    await machine.kill();
  }
}
