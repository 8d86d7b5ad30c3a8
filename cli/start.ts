import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { z } from 'zod';
import { loadConfig, printSettings, settingsOf, wantsHelp } from '../lake/base/config.ts';
import { FirnError } from '../lake/base/errors.ts';
import { checkFolder, checkPorts } from '../lake/base/preflight.ts';
import { describeFailure, stopRequested } from '../lake/base/service.ts';
import { absolutePath, logLevelSetting, port } from '../lake/base/settings.ts';
import { demoClaim, isEnrolled } from './demo-claim.ts';
import { startSimulation } from './simulate.ts';
import { smallMemoryEnv, smallMemoryFlags } from './small-memory.ts';

// `firn start`: the cloud and one gateway as two processes on one machine, with a folder as the object store between
// them. Their own settings can still be given by environment (FIRN_GATEWAY_..., FIRN_CLOUD_...).

const schema = z.strictObject({
  dataDir: z.string().min(1).default('data').describe('Folder that everything is kept in'),
  simulate: z.boolean().default(false).describe('Publish the readings of a small simulated plant'),
  mqttPort: port(1883, 'Gateway: MQTT over TCP'),
  mqttWebSocketPort: port(8083, 'Gateway: MQTT over WebSocket'),
  gatewayHttpPort: port(8480, 'Gateway: HTTP'),
  gatewayPgPort: port(5434, 'Gateway: PostgreSQL protocol'),
  gatewayOtlpHttpPort: port(4318, 'Gateway: OTLP over HTTP'),
  gatewayOtlpGrpcPort: port(4317, 'Gateway: OTLP over gRPC'),
  cloudHttpPort: port(8490, 'Cloud: HTTP'),
  cloudPgPort: port(5433, 'Cloud: PostgreSQL protocol'),
  cloudOtlpGrpcPort: port(8491, 'Cloud: OTLP over gRPC'),
  logLevel: logLevelSetting,
});
type StartConfig = z.infer<typeof schema>;

const host = '127.0.0.1';
const variablePrefix = 'FIRN';
const root = join(import.meta.dirname, '..');
/** How long the parts may take to stop before they are killed. */
const stopMsMax = 20_000;

export async function main(argv: readonly string[]): Promise<number> {
  if (wantsHelp(argv)) {
    const settings = printSettings(settingsOf(schema, variablePrefix));
    process.stdout.write(
      `usage: firn start [FLAGS]\n\nRuns the cloud and one gateway on this machine.\n\n${settings}\n`,
    );
    return 0;
  }
  const stop = stopRequested();
  const children: ChildProcess[] = [];
  try {
    const config = loadConfig(schema, { argv, env: process.env, variablePrefix });
    const dataDir = absolutePath(config.dataDir);
    await checkPorts(host, portsOf(config));
    checkFolder(dataDir, '--data-dir');
    return await runAll(config, dataDir, stop, children);
  } catch (error) {
    process.stderr.write(`${describeFailure('firn start', error)}\n`);
    return 1;
  } finally {
    await stopAll(children);
  }
}

const portsOf = (config: StartConfig): Record<string, number> => ({
  '--mqtt-port': config.mqttPort,
  '--mqtt-web-socket-port': config.mqttWebSocketPort,
  '--gateway-http-port': config.gatewayHttpPort,
  '--gateway-pg-port': config.gatewayPgPort,
  '--gateway-otlp-http-port': config.gatewayOtlpHttpPort,
  '--gateway-otlp-grpc-port': config.gatewayOtlpGrpcPort,
  '--cloud-http-port': config.cloudHttpPort,
  '--cloud-pg-port': config.cloudPgPort,
  '--cloud-otlp-grpc-port': config.cloudOtlpGrpcPort,
});

async function runAll(
  config: StartConfig,
  dataDir: string,
  stop: Promise<void>,
  children: ChildProcess[],
): Promise<number> {
  const store = [
    '--store-kind',
    'directory',
    '--store-path',
    join(dataDir, 'lake'),
    '--log-level',
    config.logLevel,
  ];
  const cloud = startPart('cloud', children, [
    ...[...store, '--data-dir', join(dataDir, 'cloud'), '--listen-host', host],
    ...['--http-port', `${config.cloudHttpPort}`, '--pgwire-port', `${config.cloudPgPort}`],
    ...['--direct-grpc-port', `${config.cloudOtlpGrpcPort}`],
  ]);
  const gatewayDir = join(dataDir, 'gateway');
  // The gateway becomes one of the cloud's by a claim, as every one does; later starts do not wait for the cloud.
  const enrolling = isEnrolled(gatewayDir)
    ? ['--cloud-url', `http://${host}:${config.cloudHttpPort}`]
    : await Promise.race([claimFlags(cloud), ...children.map(endOf), stop]);
  if (enrolling === undefined) return 0;
  const gateway = startPart('gateway', children, [
    ...[...store, '--data-dir', gatewayDir, '--listen-host', host, ...enrolling],
    ...['--mqtt-port', `${config.mqttPort}`, '--mqtt-web-socket-port', `${config.mqttWebSocketPort}`],
    ...['--http-port', `${config.gatewayHttpPort}`, '--pgwire-port', `${config.gatewayPgPort}`],
    ...['--otlp-http-port', `${config.gatewayOtlpHttpPort}`],
    ...['--otlp-grpc-port', `${config.gatewayOtlpGrpcPort}`],
  ]);
  const ended = Promise.race(children.map(endOf));
  const parts = await Promise.race([Promise.all([cloud, gateway]), ended, stop]);
  if (parts === undefined) return 0;
  const ready = readySchema.parse({ ...parts[0], ...parts[1] });
  process.stdout.write(welcome(dataDir, ready));
  await using _simulation = config.simulate ? await startSimulation({ host, port: ready.mqtt }) : undefined;
  await Promise.race([ended, stop]);
  return 0;
}

async function claimFlags(cloud: Promise<object>): Promise<string[]> {
  const { cloudHttp, keyFile } = cloudReadySchema.parse(await cloud);
  const url = `http://${host}:${cloudHttp}`;
  return ['--cloud-url', url, '--cloud-claim', await demoClaim(url, keyFile)];
}

const cloudReadySchema = z.object({ cloudHttp: z.number(), keyFile: z.string() });

const readySchema = z.object({
  cloudHttp: z.number(),
  cloudPg: z.number(),
  keyFile: z.string(),
  mqtt: z.number(),
  gatewayHttp: z.number(),
  gatewayPg: z.number(),
});

/** Forks a part; resolves with what it says when it is ready. */
async function startPart(
  name: 'cloud' | 'gateway',
  children: ChildProcess[],
  argv: string[],
): Promise<object> {
  // Detached: a terminal's Ctrl-C reaches this process alone, which then stops the parts in order.
  const child = fork(join(root, 'cli', 'main.ts'), [name, ...argv], {
    ...{ detached: true, stdio: 'inherit' },
    ...(name === 'gateway' && {
      env: smallMemoryEnv(process.env),
      execArgv: [...process.execArgv, ...smallMemoryFlags],
    }),
  });
  children.push(child);
  const [message] = (await once(child, 'message')) as [{ ready: object }];
  return message.ready;
}

/** Rejects when a part ends although nobody stopped it. */
async function endOf(child: ChildProcess): Promise<never> {
  await once(child, 'exit');
  const name = child.spawnargs.find((each) => each === 'cloud' || each === 'gateway') ?? '';
  throw new FirnError({
    code: 'unavailable',
    operation: 'run',
    subject: name,
    message: `the ${name} stopped (exit code ${child.exitCode ?? child.signalCode}); stopping the rest`,
  });
}

/** The gateway first, so that what it ships last is still taken. */
async function stopAll(children: readonly ChildProcess[]): Promise<void> {
  process.once('exit', () => {
    for (const child of children) child.kill('SIGKILL');
  });
  for (const child of children.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
    await ended;
    clearTimeout(timer);
  }
}

function welcome(dataDir: string, ready: z.infer<typeof readySchema>): string {
  return `
Firn is running; everything is kept in ${dataDir}. Ctrl-C stops it.

Publish a reading:
  mosquitto_pub -h ${host} -p ${ready.mqtt} -t plant/line1/temperature -m 21.5
Ask the cloud (the key of tenant demo is in a file that only you can read):
  . ${ready.keyFile}
  curl -u "$FIRN_KEY" 'http://${host}:${ready.cloudHttp}/api/v1/query?query=temperature'
  psql -h ${host} -p ${ready.cloudPg} demo -c 'SELECT timestamp, value, labels FROM metrics LIMIT 10'
Ask the gateway, which answers the same with the cable cut:
  curl 'http://${host}:${ready.gatewayHttp}/api/v1/query?query=temperature'
  psql -h ${host} -p ${ready.gatewayPg} demo -c 'SELECT timestamp, value, labels FROM metrics LIMIT 10'
Send metrics from Prometheus (remote_write url):
  http://${host}:${ready.gatewayHttp}/api/v1/write
Grafana data sources (basic authentication with the key's id and secret for the cloud, none for the gateway):
  Prometheus   http://${host}:${ready.cloudHttp}   or   http://${host}:${ready.gatewayHttp}
  PostgreSQL   ${host}:${ready.cloudPg} database demo, TLS mode disable   or   ${host}:${ready.gatewayPg}

`;
}
