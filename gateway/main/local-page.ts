import { html } from 'hono/html';
import { page } from './page.ts';

// The page that a person on site opens in a browser: who this gateway is, and whether it receives, stores and ships.
// Without a script: it is loaded again by itself.

export interface LocalState {
  readonly version: string;
  readonly tenant: string;
  readonly site: string;
  readonly gateway: string;
  readonly uptimeSeconds: number;
  readonly mqttPort: number;
  /** How well it knows the time. */
  readonly clock: 'trusted' | 'corrected' | 'untrusted';
  /** Whether the last readings of its own could be stored. */
  readonly isStoring: boolean;
  /** Counts and readings, named as its own metrics are without `firn_gateway_`. */
  readonly readings: Readonly<Record<string, number>>;
  /** Absent: it ships nowhere. */
  readonly shipping:
    | { readonly connected: boolean; readonly lastError: string | undefined; readonly backlogRows: number }
    | undefined;
  /** Absent: it is enrolled with no cloud. */
  readonly cloud:
    | { readonly contactMs: number | undefined; readonly lastError: string | undefined }
    | undefined;
  /** Version of the image, where the machine was flashed. */
  readonly image:
    | { readonly version: string; readonly told?: { readonly state: string } | undefined }
    | undefined;
}

/** Whether a line needs somebody: said in a word, not by a colour alone. */
type Mark = 'ok' | 'look' | '';
interface Line {
  readonly name: string;
  readonly mark: Mark;
  readonly text: string;
}

/** `host`: how the browser calls this machine. */
export function localPage(state: LocalState, host: string, nowMs: number) {
  const { version, tenant, site, gateway, mqttPort } = state;
  const lines = linesOf(state, nowMs).map(
    ({ name, mark, text }) => html`<tr><th>${name}</th><td class="${mark}">${mark}</td><td>${text}</td></tr>`,
  );
  return page(
    gateway,
    html`<h1>${gateway}</h1>
<p>Firn ${version} · tenant ${tenant} · site ${site}</p>
<table>${lines}</table>
<p>A first value, from any computer on this network:</p>
<pre><code>mosquitto_pub -h ${host} -p ${mqttPort} -u USER -P PASSWORD -q 1 -t plant/line1/temperature -m 21.5</code></pre>
<p>What it has, in Grafana: a Prometheus and a Loki data source with the address of this page. All details:
<a href="/api/v1/firn/status">status</a>.</p>`,
  );
}

function linesOf(state: LocalState, nowMs: number): Line[] {
  const { readings, clock, isStoring, image } = state;
  const count = (name: string): number => readings[name] ?? 0;
  return [
    receivingLine(count),
    {
      name: 'Storing',
      mark: isStoring && count('disk_refusing') === 0 ? 'ok' : 'look',
      text: isStoring
        ? `${gigabytes(count('disk_available_bytes'))} of ${gigabytes(count('disk_size_bytes'))} free`
        : 'nothing can be stored now; is the disk full, or read-only?',
    },
    shippingLine(state.shipping),
    cloudLine(state.cloud, nowMs),
    {
      name: 'Time',
      mark: clock === 'untrusted' ? 'look' : 'ok',
      text: {
        trusted: 'is known',
        corrected: 'is known; the clock of this machine is wrong, and made up for',
        untrusted: 'is not sure: rows wait for a time server or the cloud, and are corrected then',
      }[clock],
    },
    {
      name: 'Machine',
      mark: '',
      text: `${percent(count('cpu_load_ratio'))} of its processors busy, ${megabytes(count('memory_available_bytes'))} of memory left, up for ${duration(state.uptimeSeconds * 1000)}`,
    },
    ...(image === undefined
      ? []
      : [
          {
            name: 'Image',
            mark: '' as const,
            text: [image.version, image.told?.state].filter(Boolean).join(', update '),
          },
        ]),
  ];
}

function receivingLine(count: (name: string) => number): Line {
  const ways: readonly (readonly [string, string])[] = [
    ['mqtt_received_messages_total', 'MQTT messages'],
    ['remote_write_samples_total', 'samples by remote write'],
    ['loki_push_lines_total', 'log lines'],
    ['otlp_rows_total', 'rows by OTLP'],
    ['influx_rows_total', 'rows by Influx'],
    ['scraped_rows_total', 'scraped rows'],
    ['syslog_messages_total', 'syslog messages'],
  ];
  const received = ways.filter(([name]) => count(name) > 0);
  const refused = count('mqtt_refused_logins_total');
  const clients = `${count('mqtt_clients')} MQTT clients connected`;
  const parts = [
    ...received.map(([name, what]) => `${count(name).toLocaleString('en')} ${what}`),
    clients,
    ...(refused > 0 ? [`${refused} MQTT logins refused: wrong user or password`] : []),
  ];
  return { name: 'Receiving', mark: received.length > 0 ? 'ok' : '', text: parts.join('; ') };
}

function shippingLine(shipping: LocalState['shipping']): Line {
  if (shipping === undefined)
    return { name: 'Shipping', mark: '', text: 'is not set up; everything stays here' };
  const { connected, backlogRows, lastError } = shipping;
  const waiting = `${backlogRows.toLocaleString('en')} rows wait`;
  const text = connected ? waiting : `${waiting}; the store is not reached: ${lastError ?? 'not tried yet'}`;
  return { name: 'Shipping', mark: connected ? 'ok' : 'look', text };
}

function cloudLine(cloud: LocalState['cloud'], nowMs: number): Line {
  if (cloud === undefined)
    return {
      name: 'Cloud',
      mark: '',
      text: 'this gateway is enrolled with none (give it the address of one, or a claim)',
    };
  const { contactMs, lastError } = cloud;
  const last =
    contactMs === undefined ? 'it has not answered yet' : `it answered ${duration(nowMs - contactMs)} ago`;
  return {
    name: 'Cloud',
    mark: lastError === undefined ? 'ok' : 'look',
    text: [last, lastError].filter(Boolean).join('; '),
  };
}

const percent = (ratio: number): string => `${Math.round(ratio * 100)} %`;
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;
const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} days`;
}
