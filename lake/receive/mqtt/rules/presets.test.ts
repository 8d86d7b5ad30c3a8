import { expect, test } from 'vitest';
import { createMap, type Mapped, receivedUs } from '../mapper.fixture.ts';
import { mqttLimits } from '../mapper.ts';
import { compileRules } from './compile.ts';

// Payloads as the devices and their documentation show them.

const mapBy = (...rules: unknown[]) => createMap([], {}, undefined, compileRules(rules, mqttLimits));
const samples = ({ metrics }: Mapped): string[] =>
  metrics.map(
    ({ labels: { __name__, ...labels }, value }) => `${__name__} ${JSON.stringify(labels)} ${value}`,
  );

const tasmotaSensor =
  '{"Time":"2023-11-14T12:00:00","ANALOG":{"A0":17},"DS18B20":{"Id":"01186E3C7BFF","Temperature":20.1},"ENERGY":{"TotalStartTime":"2023-01-01T00:00:00","Total":1.25,"Power":[5,6]},"Switch1":"ON","TempUnit":"C"}';
const shellyStatus =
  '{"src":"shellyplus1pm-a8032abe54dc","dst":"shelly/events","method":"NotifyStatus","params":{"ts":1690000000.52,"switch:0":{"id":0,"apower":8.9,"output":true,"aenergy":{"by_minute":[1,2],"minute_ts":1690000000,"total":11.6},"temperature":{"tC":40.2}}}}';
const gen2Labels = '{"component":"switch:0","device":"shellyplus1pm-1"}';

test.each<[preset: string, topic: string, payload: string, expected: string[]]>([
  [
    'tasmota',
    'tele/plug/SENSOR',
    tasmotaSensor,
    [
      'tasmota_ANALOG_A0 {"device":"plug"} 17',
      'tasmota_DS18B20_Temperature {"device":"plug"} 20.1',
      'tasmota_ENERGY_Total {"device":"plug"} 1.25',
      'tasmota_Switch1 {"device":"plug"} 1',
      'tasmota_ENERGY_Power {"device":"plug","phase":"0"} 5',
      'tasmota_ENERGY_Power {"device":"plug","phase":"1"} 6',
    ],
  ],
  [
    'tasmota',
    'tele/hall/plug/STATE',
    '{"Time":"2023-11-14T12:00:00","Uptime":"0T01:00:10","UptimeSec":3610,"POWER":"OFF","Wifi":{"AP":1,"SSId":"x","RSSI":82}}',
    [
      'tasmota_UptimeSec {"device":"hall/plug"} 3610',
      'tasmota_POWER {"device":"hall/plug"} 0',
      'tasmota_Wifi_AP {"device":"hall/plug"} 1',
      'tasmota_Wifi_RSSI {"device":"hall/plug"} 82',
    ],
  ],
  ['tasmota', 'tele/plug/LWT', 'Online', ['tasmota_online {"device":"plug"} 1']],
  [
    'tasmota',
    'stat/plug/STATUS8',
    '{"StatusSNS":{"Time":"2023-11-14T12:00:00","SI7021":{"Humidity":51.2}}}',
    ['tasmota_SI7021_Humidity {"device":"plug"} 51.2'],
  ],
  ['tasmota', 'stat/plug/RESULT', '{"POWER":"ON"}', ['tasmota_POWER {"device":"plug"} 1']],
  ['tasmota', 'stat/plug/POWER', 'ON', []],
  [
    'zigbee2mqtt',
    'zigbee2mqtt/living/sensor',
    '{"battery":100,"humidity":null,"linkquality":87,"contact":false,"state":"ON","action":"single","update":{"installed_version":3,"state":"idle"},"color":{"x":0.3},"last_seen":"2023-11-14T12:00:00+01:00"}',
    [
      'zigbee2mqtt_battery {"device":"living/sensor"} 100',
      'zigbee2mqtt_linkquality {"device":"living/sensor"} 87',
      'zigbee2mqtt_contact {"device":"living/sensor"} 0',
      'zigbee2mqtt_state {"device":"living/sensor"} 1',
      'zigbee2mqtt_color_x {"device":"living/sensor"} 0.3',
    ],
  ],
  [
    'zigbee2mqtt',
    'zigbee2mqtt/living/sensor/availability',
    '{"state":"offline"}',
    ['zigbee2mqtt_available {"device":"living/sensor"} 0'],
  ],
  ['zigbee2mqtt', 'zigbee2mqtt/living/sensor/set', '{"state":"ON"}', []],
  ['zigbee2mqtt', 'zigbee2mqtt/bridge/state', '{"state":"online"}', ['zigbee2mqtt_bridge_online {} 1']],
  ['zigbee2mqtt', 'zigbee2mqtt/bridge/devices', '[{"ieee_address":"0x00","network_address":0}]', []],
  [
    'shelly',
    'shellyplus1pm-1/events/rpc',
    shellyStatus,
    [
      `shelly_apower ${gen2Labels} 8.9`,
      `shelly_output ${gen2Labels} 1`,
      `shelly_aenergy_total ${gen2Labels} 11.6`,
      `shelly_temperature_tC ${gen2Labels} 40.2`,
    ],
  ],
  [
    'shelly',
    'shellyplus1pm-1/status/switch:0',
    '{"id":0,"source":"init","output":false,"apower":0.0,"voltage":230.1}',
    [`shelly_output ${gen2Labels} 0`, `shelly_apower ${gen2Labels} 0`, `shelly_voltage ${gen2Labels} 230.1`],
  ],
  ['shelly', 'shellyplus1pm-1/online', 'true', ['shelly_online {"device":"shellyplus1pm-1"} 1']],
  [
    'shelly',
    'shellies/shelly1pm-1/relay/0',
    'on',
    ['shelly_relay {"channel":"0","component":"relay","device":"shelly1pm-1"} 1'],
  ],
  [
    'shelly',
    'shellies/shelly1pm-1/relay/0/power',
    '12.30',
    ['shelly_relay_power {"channel":"0","component":"relay","device":"shelly1pm-1","measure":"power"} 12.3'],
  ],
  [
    'shelly',
    'shellies/shelly1pm-1/temperature',
    '40.22',
    ['shelly_temperature {"device":"shelly1pm-1","measure":"temperature"} 40.22'],
  ],
  [
    'shelly',
    'shellies/shellyht-1/sensor/humidity',
    '45.0',
    ['shelly_humidity {"device":"shellyht-1","measure":"humidity"} 45'],
  ],
  [
    'shelly',
    'shellies/shellyi3-1/input_event/0',
    '{"event":"S","event_cnt":2}',
    ['shelly_event_cnt {"channel":"0","device":"shellyi3-1"} 2'],
  ],
  ['shelly', 'shellies/announce', '{"id":"shelly1pm-1","fw_ver":"1.9"}', []],
  [
    'telegraf',
    'telegraf/web01/cpu',
    'cpu,cpu=cpu0,host=web01 usage_idle=98.1,n=3i 1690000000000000000',
    ['cpu_usage_idle {"cpu":"cpu0","host":"web01"} 98.1', 'cpu_n {"cpu":"cpu0","host":"web01"} 3'],
  ],
  [
    'telegraf-json',
    'telegraf/web01/mem',
    '{"fields":{"used":7,"state":"ok"},"name":"mem","tags":{"host":"web01"},"timestamp":1690000000}',
    ['mem_used {"host":"web01"} 7'],
  ],
  [
    'telegraf-json',
    'telegraf/web01',
    '{"metrics":[{"fields":{"value":7},"name":"a","tags":{},"timestamp":1690000000},{"fields":{"x":8},"name":"b","tags":{"t":"1"},"timestamp":1690000001}]}',
    ['a {} 7', 'b_x {"t":"1"} 8'],
  ],
  [
    'thingsboard',
    'v1/devices/me/telemetry',
    '{"ts":1690000000000,"values":{"temperature":42.2,"ok":true}}',
    ['temperature {} 42.2', 'ok {} 1'],
  ],
  [
    'thingsboard',
    'v1/devices/me/telemetry',
    '[{"a":1},{"ts":1690000000000,"values":{"b":2}}]',
    ['a {} 1', 'b {} 2'],
  ],
  [
    'thingsboard',
    'v1/gateway/telemetry',
    '{"Device A":[{"ts":1690000000000,"values":{"t":42}}],"Device B":[{"ts":1690000000000,"values":{"t":43}}]}',
    ['t {"device":"Device A"} 42', 't {"device":"Device B"} 43'],
  ],
  [
    'esphome',
    'livingroom/sensor/outside_temperature/state',
    '12.5',
    ['outside_temperature {"id":"outside_temperature","node":"livingroom"} 12.5'],
  ],
  ['esphome', 'livingroom/status', 'online', ['esphome_online {"node":"livingroom"} 1']],
  [
    'ttn',
    'v3/app1@ttn/devices/dev1/up',
    '{"received_at":"2023-11-14T12:00:00.123456789Z","uplink_message":{"decoded_payload":{"temperature":1,"bits":[1]},"rx_metadata":[{"rssi":-35,"snr":5.2}]}}',
    [
      'temperature {"application":"app1@ttn","device":"dev1"} 1',
      'lorawan_rssi {"application":"app1@ttn","device":"dev1"} -35',
      'lorawan_snr {"application":"app1@ttn","device":"dev1"} 5.2',
    ],
  ],
  [
    'chirpstack',
    'application/6f/device/0102/event/up',
    '{"time":"2023-11-14T12:00:00.1+00:00","object":{"t":2.5},"rxInfo":[{"rssi":-48,"snr":9}]}',
    [
      't {"application":"6f","device":"0102"} 2.5',
      'lorawan_rssi {"application":"6f","device":"0102"} -48',
      'lorawan_snr {"application":"6f","device":"0102"} 9',
    ],
  ],
  [
    'theengs',
    'home/gw1/BTtoMQTT/AABBCC',
    '{"id":"AA:BB:CC","rssi":-60,"tempc":21.5,"hum":40}',
    [
      'theengs_rssi {"device":"AABBCC","gateway_name":"gw1"} -60',
      'theengs_tempc {"device":"AABBCC","gateway_name":"gw1"} 21.5',
      'theengs_hum {"device":"AABBCC","gateway_name":"gw1"} 40',
    ],
  ],
  [
    'ditto',
    'ditto/x',
    '{"topic":"org/pump/things/twin/events/modified","path":"/features/tank/properties/level","value":5.5,"timestamp":"2023-11-14T12:00:00Z"}',
    ['ditto_features_tank_properties_level {"thing":"org/pump/things/twin/events/modified"} 5.5'],
  ],
])('%s %s %s', (preset, topic, payload, expected) => {
  const mapped = mapBy({ preset })(topic, payload);
  expect(samples(mapped)).toEqual(expected);
  expect(mapped.outcome).toBe(expected.length > 0 ? 'stored' : 'ignored');
});

test('times of presets', () => {
  const timeOf = (rule: unknown, topic: string, payload: string) =>
    mapBy(rule)(topic, payload).metrics[0]?.timestampUs;
  const noon = (hour: number): number => Date.UTC(2023, 10, 14, hour) * 1000;
  expect(timeOf({ preset: 'tasmota', zone: 'Europe/Berlin' }, 'tele/plug/SENSOR', tasmotaSensor)).toBe(
    noon(11),
  );
  expect(timeOf({ preset: 'tasmota', zone: 'utc' }, 'tele/plug/SENSOR', tasmotaSensor)).toBe(noon(12));
  expect(timeOf({ preset: 'shelly' }, 's/events/rpc', shellyStatus)).toBe(1_690_000_000_520_000);
  expect(timeOf({ preset: 'telegraf' }, 'telegraf/a', 'm f=1 1690000000000001000')).toBe(
    1_690_000_000_000_001,
  );
  expect(timeOf({ preset: 'zigbee2mqtt' }, 'zigbee2mqtt/a', '{"last_seen":1690000000123,"t":1}')).toBe(
    1_690_000_000_123_000,
  );
  expect(timeOf({ preset: 'zigbee2mqtt' }, 'zigbee2mqtt/a', '{"t":1}')).toBe(receivedUs);
});

test('a preset takes a base and labels', () => {
  const map = mapBy({ preset: 'zigbee2mqtt', base: 'hall/z2m', labels: { hall: '7' } });
  expect(samples(map('hall/z2m/x', '{"t":1}'))).toEqual(['zigbee2mqtt_t {"device":"x","hall":"7"} 1']);
});

test('events of Shelly and log lines of zigbee2mqtt are log lines', () => {
  const event =
    '{"src":"s","method":"NotifyEvent","params":{"ts":1690000000,"events":[{"component":"input:0","id":0,"event":"single_push"}]}}';
  expect(mapBy({ preset: 'shelly' })('s/events/rpc', event).logs.map(({ line }) => line)).toEqual([
    '[{"component":"input:0","id":0,"event":"single_push"}]',
  ]);
  const line = '{"level":"error","message":"z2m: failed"}';
  expect(
    mapBy({ preset: 'zigbee2mqtt' })('zigbee2mqtt/bridge/logging', line).logs.map((log) => log.line),
  ).toEqual(['z2m: failed']);
});

test('Home Assistant discovery says what states mean', () => {
  const map = mapBy({ preset: 'homeassistant' });
  expect(samples(map('garden/state', '{"t":5}'))).toEqual(['t {"topic":"garden/state"} 5']);
  const config = (object: string, text: string) =>
    map(`homeassistant/sensor/garden/${object}/config`, text).outcome;
  expect(
    config(
      'temp',
      '{"~":"garden","stat_t":"~/state","dev_cla":"temperature","unit_of_meas":"°C","val_tpl":"{{ value_json.t | float | round(1) }}","uniq_id":"g1","dev":{"ids":["x"],"name":"Garden {1}"}}',
    ),
  ).toBe('ignored');
  expect(
    config(
      'water',
      '{"stat_t":"garden/state","stat_cla":"total_increasing","val_tpl":"{{ value_json[\'w\'][0] }}","obj_id":"water"}',
    ),
  ).toBe('ignored');
  // A template that can't be followed: left out.
  expect(config('odd', '{"stat_t":"garden/state","val_tpl":"{% if value %}1{% endif %}"}')).toBe('ignored');
  const mapped = map('garden/state', '{"t":5,"w":[7]}');
  expect(samples(mapped)).toEqual([
    'homeassistant_temperature {"device":"Garden {1}","device_class":"temperature","entity":"g1"} 5',
    'homeassistant_water {"entity":"water"} 7',
  ]);
  expect(mapped.units).toEqual([['homeassistant_temperature', '°C', 'gauge']]);
  map('homeassistant/sensor/garden/temp/config', '');
  map('homeassistant/sensor/garden/water/config', '');
  expect(samples(map('garden/state', '{"t":5}'))).toEqual(['t {"topic":"garden/state"} 5']);
});

test('Home Assistant devices with components, and what they call on', () => {
  const map = mapBy({ preset: 'homeassistant' });
  map(
    'homeassistant/device/0AFFD2/config',
    '{"dev":{"ids":"ea334450945afc","name":"Kitchen"},"state_topic":"kitchen/state","cmps":{"door":{"p":"binary_sensor","dev_cla":"door","pl_on":"OPENED!","val_tpl":"{{ value_json.door }}","uniq_id":"d"},"press":{"p":"device_automation","topic":"x"}}}',
  );
  expect(samples(map('kitchen/state', '{"door":"opened!"}'))).toEqual([
    'homeassistant_door {"device":"Kitchen","device_class":"door","entity":"d"} 1',
  ]);
  expect(map('homeassistant/sensor/x/config', '{').outcome).toBe('dead-letter');
});
