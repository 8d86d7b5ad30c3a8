import type { Preset, PresetName, RuleInput } from './schema.ts';

// Rules for senders that many sites have, in the same language as a site's own. README.md has the table.

/** All but homeassistant, whose rules are learned. */
export function presetRules({ preset, base, zone }: Preset): RuleInput[] {
  return presets[preset](base, zone);
}

type PresetOf = (base: string | undefined, zone: string) => RuleInput[];

const presets: Readonly<Record<PresetName, PresetOf>> = {
  homeassistant: () => [],
  tasmota,
  zigbee2mqtt,
  shelly: (base) => [...shellyGen1(base ?? 'shellies'), ...shellyGen2()],
  telegraf: (base = 'telegraf') => [{ topic: `${base}/#`, payload: 'influx' }],
  'telegraf-json': (base = 'telegraf') => [
    {
      ...{ topic: `${base}/#`, items: ['$', '$.metrics[*]'], time: '$.timestamp', labelsFrom: '$.tags' },
      metrics: [{ value: '$.fields', name: '{$.name}_{path}', type: 'unknown', text: 'log' }],
    },
  ],
  thingsboard,
  esphome,
  ttn: (base = 'v3') => [
    {
      ...{ topic: `${base}/{application}/devices/{device}/up`, time: '$.received_at' },
      metrics: [
        { value: '$.uplink_message.decoded_payload', name: '{path}' },
        { value: '$.uplink_message.rx_metadata[0].rssi', name: 'lorawan_rssi', unit: 'dBm' },
        { value: '$.uplink_message.rx_metadata[0].snr', name: 'lorawan_snr', unit: 'dB' },
      ],
    },
  ],
  chirpstack: (base = 'application') => [
    {
      ...{ topic: `${base}/{application}/device/{device}/event/up`, time: '$.time' },
      metrics: [
        { value: '$.object', name: '{path}' },
        { value: '$.rxInfo[0].rssi', name: 'lorawan_rssi', unit: 'dBm' },
        { value: '$.rxInfo[0].snr', name: 'lorawan_snr', unit: 'dB' },
      ],
    },
  ],
  theengs: (base = 'home') => [
    {
      topic: `${base}/{gateway_name}/BTtoMQTT/{device}`,
      metrics: [{ name: 'theengs_{path}', skip: ['mac_type', 'adv_type', 'cidc', 'acts', 'cont', 'track'] }],
    },
  ],
  ditto: (base = 'ditto') => [
    {
      ...{ topic: `${base}/#`, time: '$.timestamp' },
      metrics: [{ value: '$.value', name: 'ditto{$.path}_{path}', labels: { thing: '{$.topic}' } }],
    },
  ],
};

/** The time is local to the device, without a zone; the setting `zone` of the preset says which. */
function tasmota(base: string | undefined, zone: string): RuleInput[] {
  const prefix = base === undefined ? '' : `${base}/`;
  const time = { path: '$.Time', unit: 'iso', zone } as const;
  const metrics: RuleInput['metrics'] = [
    { name: 'tasmota_{path}', skip: ['Id', 'TotalStartTime', 'TempUnit', 'PressureUnit', 'SpeedUnit'] },
    // Meters with several phases have arrays.
    { value: '$.ENERGY[*][*]', name: 'tasmota_ENERGY_{key1}', labels: { phase: '{key2}' } },
  ];
  const telemetry = ['SENSOR', 'STATE', 'ENERGY', 'MARGINS'].map((kind) => `${prefix}tele/{device#}/${kind}`);
  const power = ['POWER', ...[1, 2, 3, 4, 5, 6, 7, 8].map((relay) => `POWER${relay}`)];
  const status = ['STATUS8', 'STATUS10'].map((kind) => `${prefix}stat/{device#}/${kind}`);
  return [
    { topic: telemetry, time, metrics },
    { topic: status, items: '$.StatusSNS', time, metrics },
    { topic: `${prefix}tele/{device#}/LWT`, payload: 'text', metrics: [{ name: 'tasmota_online' }] },
    { topic: `${prefix}stat/{device#}/RESULT`, metrics: [{ name: 'tasmota_{path}' }] },
    // RESULT says the same.
    { topic: power.map((relay) => `${prefix}stat/{device#}/${relay}`), action: 'ignore' },
    { topic: [`${prefix}cmnd/#`, 'tasmota/discovery/#'], action: 'ignore' },
  ];
}

function zigbee2mqtt(base = 'zigbee2mqtt'): RuleInput[] {
  return [
    { topic: `${base}/bridge/state`, metrics: [{ value: '$.state', name: 'zigbee2mqtt_bridge_online' }] },
    {
      topic: `${base}/bridge/logging`,
      logs: [{ line: '$.message', severity: '{$.level}' }],
      topicLabel: true,
    },
    { topic: `${base}/bridge/event`, logs: [{ line: '$' }], topicLabel: true },
    { topic: `${base}/bridge/#`, action: 'ignore' },
    {
      topic: `${base}/{device#}/availability`,
      metrics: [{ value: '$.state', name: 'zigbee2mqtt_available' }],
    },
    {
      topic: ['set', 'get', 'set/+', 'get/+'].map((command) => `${base}/{device#}/${command}`),
      action: 'ignore',
    },
    {
      ...{ topic: `${base}/{device#}`, time: '$.last_seen' },
      metrics: [{ name: 'zigbee2mqtt_{path}', skip: ['update'] }],
    },
  ];
}

/** Bare values: shellies/<model-id>/<component>/<channel>/<measure>. Energy is in watt-minutes there. */
function shellyGen1(base: string): RuleInput[] {
  const rule = (topic: string, name: string): RuleInput => ({
    ...{ topic: `${base}/{device}/${topic}`, payload: 'text' },
    metrics: [{ name, map: { overpower: 1 } }],
  });
  return [
    { topic: [`${base}/announce`, `${base}/command`], action: 'ignore' },
    { topic: ['announce', 'info', 'command'].map((kind) => `${base}/{device}/${kind}`), action: 'ignore' },
    { topic: `${base}/{device}/+/+/command`, action: 'ignore' },
    {
      topic: ['input_event', 'status', 'settings'].map((kind) => `${base}/{device}/${kind}/{channel:int}`),
      metrics: [{ name: 'shelly_{path}' }],
    },
    rule('sensor/{measure}', 'shelly_{measure}'),
    rule('{component}/{channel:int}', 'shelly_{component}'),
    rule('{component}/{channel:int}/{measure}', 'shelly_{component}_{measure}'),
    rule('{measure}', 'shelly_{measure}'),
  ];
}

/** Generation 2 and later: each message has what has changed of each component. */
function shellyGen2(): RuleInput[] {
  const skip = [
    'id',
    'ts',
    'minute_ts',
    'last_command_id',
    'cfg_rev',
    'kvs_rev',
    'schedule_rev',
    'webhook_rev',
  ];
  return [
    {
      ...{ topic: '{device#}/events/rpc', time: { path: '$.params.ts', unit: 's' } },
      metrics: [{ value: '$.params[*]', name: 'shelly_{path}', labels: { component: '{key}' }, skip }],
      logs: [{ line: '$.params.events' }],
    },
    { topic: '{device#}/status/{component}', metrics: [{ name: 'shelly_{path}', skip }] },
    { topic: '{device#}/online', metrics: [{ name: 'shelly_online' }] },
  ];
}

/** `{ts, values: {…}}`, plain `{…}`, arrays of both, and those of a gateway by device. */
function thingsboard(base = 'v1'): RuleInput[] {
  const metrics: RuleInput['metrics'] = [
    { value: '$.values', name: '{path}' },
    { value: '$', name: '{path}', skip: ['values', 'ts'] },
  ];
  const time = { path: '$.ts', unit: 'ms' } as const;
  return [
    { topic: [`${base}/devices/me/telemetry`, `${base}/devices/me/attributes`], time, metrics },
    { topic: `${base}/gateway/telemetry`, items: '$[*][*]', time, labels: { device: '{key1}' }, metrics },
  ];
}

function esphome(base: string | undefined): RuleInput[] {
  const prefix = base === undefined ? '' : `${base}/`;
  const kinds = ['sensor', 'binary_sensor', 'switch', 'number', 'text_sensor'];
  return [
    {
      ...{ topic: kinds.map((kind) => `${prefix}{node}/${kind}/{id}/state`), payload: 'text', text: 'log' },
      metrics: [{ name: '{id}' }],
    },
    { topic: `${prefix}{node}/status`, payload: 'text', metrics: [{ name: 'esphome_online' }] },
  ];
}
