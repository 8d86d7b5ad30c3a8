import { connectAsync } from 'mqtt';

// A small plant whose readings look alive: three lines, a few sensors each, one reading a second and now and then a
// line of log. For trying Firn out; the values follow from the clock, not from chance.

const lines = ['line1', 'line2', 'line3'];
const sensors = [
  { name: 'temperature', middle: 62, swing: 9, periodS: 240 },
  { name: 'pressure', middle: 4.2, swing: 0.6, periodS: 90 },
  { name: 'vibration', middle: 0.8, swing: 0.5, periodS: 35 },
];
const intervalMs = 1000;

export interface Simulation extends AsyncDisposable {}

/** Publishes to the broker at host:port until it is disposed. */
export async function startSimulation(broker: {
  readonly host: string;
  readonly port: number;
}): Promise<Simulation> {
  const client = await connectAsync(`mqtt://${broker.host}:${broker.port}`, { clientId: 'firn-simulation' });
  let pieces = 0;
  const tick = (): void => {
    const seconds = Date.now() / 1000;
    lines.forEach((line, index) => {
      for (const sensor of sensors)
        client.publish(`plant/${line}/${sensor.name}`, reading(sensor, seconds, index), { qos: 1 });
      const running = Math.floor(seconds / 60 + index) % 5 !== 0;
      pieces += running ? 1 : 0;
      client.publish(`plant/${line}/machine`, JSON.stringify({ running, pieces }), { qos: 1 });
      if (Math.floor(seconds) % 20 === index)
        client.publish(`plant/${line}/log`, `batch ${Math.floor(seconds / 20)} done`);
    });
  };
  const timer = setInterval(tick, intervalMs);
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await client.endAsync(true);
    },
  };
}

function reading(sensor: (typeof sensors)[number], seconds: number, line: number): string {
  const wave =
    Math.sin((2 * Math.PI * seconds) / sensor.periodS + line) + 0.1 * Math.sin(seconds * 1.7 + line);
  return (sensor.middle + sensor.swing * wave).toFixed(2);
}
