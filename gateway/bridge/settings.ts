import { z } from 'zod';

// One external broker whose messages are a source of data; a part of the gateway's schema.

const text = z.string().default('');

const bridge = z.strictObject({
  /** For the status and the client id; unique. */
  name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'a name has letters, digits, _ and -'),
  /** mqtt, mqtts, ws or wss. */
  url: z
    .string()
    .regex(/^(mqtt|mqtts|ws|wss):\/\/\S+$/, 'a URL begins with mqtt://, mqtts://, ws:// or wss://'),
  topics: z.array(z.string().min(1)).min(1),
  /** 1: what the broker has for us while we are away, it keeps. */
  qos: z.union([z.literal(0), z.literal(1)]).default(1),
  /** Default: firn-<gateway>-<name>. Another one is another session. */
  clientId: text,
  username: text,
  password: text,
  /** Holds the password in its first line; read at each connection. */
  passwordFile: text,
  version: z.enum(['3.1.1', '5']).default('3.1.1'),
  /** Taken away from the start of topics, and put before them. */
  stripPrefix: text,
  addPrefix: text,
  caFile: text,
  certFile: text,
  keyFile: text,
  keepAliveSeconds: z.number().int().min(5).max(65_535).default(30),
  /** First and longest wait between tries to connect. */
  retryMinMs: z.number().int().positive().default(1000),
  retryMaxMs: z.number().int().positive().default(60_000),
});

export type BridgeSettings = z.infer<typeof bridge>;

export const bridgesSetting = z
  .array(bridge)
  .default([])
  .superRefine((bridges, context) => {
    const names = bridges.map(({ name }) => name);
    if (new Set(names).size < names.length)
      context.addIssue({ code: 'custom', message: 'two bridges have the same name' });
  })
  .describe(
    'External MQTT brokers to subscribe to, for example [{"name":"plc","url":"mqtt://10.0.0.5","topics":["plant/#"]}]',
  );
