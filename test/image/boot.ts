import assert from 'node:assert';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execute, healthy, personalisedDisk, publish, query } from './device.ts';
import { type Machine, startMachine } from './machine.ts';
import type { Context } from './main.ts';

async function usedMiB(machine: Machine): Promise<string> {
  const read = async (name: string): Promise<number> =>
    (await query(machine, `firn_gateway_memory_${name}_bytes`))[0]?.value ?? 0;
  return (((await read('size')) - (await read('available'))) / 2 ** 20).toFixed(0);
}

/** Flash, personalise, switch on, connect a sensor, ask for it. */
export async function bootScenario(context: Context): Promise<void> {
  const { architecture, work, say } = context;
  const disk = await personalisedDisk(context);
  const began = Date.now();
  const machine = await startMachine({ architecture, work, disk: { file: disk } });
  try {
    await machine.waitFor(/tenant acme, site plant-7, gateway press/, 600_000);
    say(`set up after ${((Date.now() - began) / 1000).toFixed(0)} s`);
    await healthy(machine);
    say(`health check passed after ${((Date.now() - began) / 1000).toFixed(0)} s`);
    await publish(machine, 'plant-7/press/temperature', '21.5');
    const answer = await query(machine, 'temperature{topic="plant-7/press/temperature"}');
    assert.deepStrictEqual(
      answer.map(({ value }) => value),
      [21.5],
    );
    await assert.rejects(
      execute('mosquitto_pub', ['-h', '127.0.0.1', '-p', String(machine.mqttPort), '-t', 'x', '-m', '1']),
      /not authori/i,
    );
    say('the sensor value is in the PromQL answer; a client without password is refused');
    say(`memory of the whole system in use: ${await usedMiB(machine)} MiB`);
    await delay(120_000);
    say(`after two minutes at rest: ${await usedMiB(machine)} MiB`);
    const [size] = await query(machine, 'firn_gateway_disk_size_bytes');
    assert.ok((size?.value ?? 0) > 4e9, 'the data partition has grown');
    say(`data partition: ${((size?.value ?? 0) / 1e9).toFixed(1)} GB of 8.6`);
  } finally {
    await machine.kill();
  }
  const { stdout } = await execute('mtype', ['-i', `${disk}@@1048576`, '::firn-site.yaml']);
  assert.ok(
    !stdout.includes('press-hall') && stdout.includes('plant-7'),
    join('the boot partition keeps no secret: ', stdout),
  );
  say('the password is gone from the boot partition');
}
