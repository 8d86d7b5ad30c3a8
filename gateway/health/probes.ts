import { statfs } from 'node:fs/promises';
import { networkInterfaces, uptime } from 'node:os';
import { cpuTemperature, currentLoad, mem, networkStats } from 'systeminformation';

/** One reading; the name is without its `firn_gateway_` prefix and says its unit, as Prometheus wants it. */
export interface Reading {
  readonly name: string;
  readonly help: string;
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Something that can be measured; what it cannot find out it leaves out. */
export type Probe = () => Promise<readonly Reading[]>;

/** The machine and this process; no probe lists processes. `dataDir`: whose file system is measured. */
export const systemProbes = (dataDir: string): readonly Probe[] => [
  cpu,
  memory,
  () => disk(dataDir),
  temperature,
  network,
  host,
  ownProcess,
];

async function cpu(): Promise<Reading[]> {
  const load = await currentLoad(); // since it was asked last
  return [
    {
      name: 'cpu_load_ratio',
      help: 'Share of all processors that was busy since the reading before.',
      value: load.currentLoad / 100,
    },
  ];
}

async function memory(): Promise<Reading[]> {
  const { total, available } = await mem();
  return [
    { name: 'memory_size_bytes', help: 'Memory of the machine.', value: total },
    { name: 'memory_available_bytes', help: 'Memory that programs can still get.', value: available },
  ];
}

async function disk(dataDir: string): Promise<Reading[]> {
  const { bsize, blocks, bavail } = await statfs(dataDir);
  return [
    { name: 'disk_size_bytes', help: 'Size of the file system with the data folder.', value: blocks * bsize },
    {
      name: 'disk_available_bytes',
      help: 'What is free for the gateway on the file system with the data folder.',
      value: bavail * bsize,
    },
  ];
}

async function temperature(): Promise<Reading[]> {
  const { main } = await cpuTemperature();
  if (main === null || main <= 0) return []; // there is no sensor
  return [{ name: 'cpu_temperature_celsius', help: 'Temperature of the processor.', value: main }];
}

async function network(): Promise<Reading[]> {
  // By name: for '*' the library first asks a shell about each, and the process stands still meanwhile.
  const names = Object.keys(networkInterfaces()).filter((name) => name !== 'lo');
  if (names.length === 0) return [];
  const interfaces = await networkStats(names.join(','));
  return interfaces.flatMap(({ iface, rx_bytes, tx_bytes }) => [
    {
      name: 'network_receive_bytes_total',
      help: 'Bytes received by a network interface.',
      value: rx_bytes,
      labels: { interface: iface },
    },
    {
      name: 'network_transmit_bytes_total',
      help: 'Bytes sent by a network interface.',
      value: tx_bytes,
      labels: { interface: iface },
    },
  ]);
}

async function host(): Promise<Reading[]> {
  return [{ name: 'host_uptime_seconds', help: 'Time since the machine started.', value: uptime() }];
}

async function ownProcess(): Promise<Reading[]> {
  const { rss, heapUsed } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return [
    { name: 'process_resident_memory_bytes', help: 'Memory of the gateway process.', value: rss },
    { name: 'process_heap_bytes', help: 'JavaScript heap in use.', value: heapUsed },
    {
      name: 'process_cpu_seconds_total',
      help: 'Processor time of the gateway process.',
      value: (user + system) / 1e6,
    },
    { name: 'process_uptime_seconds', help: 'Time since the gateway started.', value: process.uptime() },
  ];
}
