import { z } from 'zod';
import { count, limit, MEBIBYTE, port } from '../../lake/base/settings.ts';

// The settings of the MQTT broker; a part of the gateway's schema.

const file = (description: string) => z.string().default('').describe(description);

const tls = z.strictObject({
  port: port(8883, 'MQTT over TLS, where there is a certificate'),
  webSocketPort: port(8084, 'MQTT over WebSocket and TLS, where there is a certificate'),
  certFile: file(
    'Certificate chain of the MQTT listeners, PEM; read again when it changes; empty: that of tls.certFile',
  ),
  keyFile: file('Private key of certFile, PEM'),
  caFile: file('Authorities whose client certificates are believed, PEM'),
  clientCertificates: z
    .enum(['none', 'optional', 'required'])
    .default('none')
    .describe('Whether TLS clients are asked for a certificate'),
  certificateUser: z
    .enum(['cn', 'san', 'none'])
    .default('cn')
    .describe(
      'User name of a client with a certificate: its common name, its first alternative name, or the one it sends',
    ),
});

export const brokerSettings = {
  host: file('Address of the MQTT listeners; empty: listen.host'),
  port: port(1883, 'MQTT over TCP'),
  webSocketPort: port(8083, 'MQTT over WebSocket'),
  tls: tls.prefault({}),
  usersFile: file('Users and hashed passwords, as mosquitto_passwd and firn mqtt user write them'),
  aclFile: file('Who may read and write which topics, in the format of the acl_file of mosquitto'),
  anonymous: z
    .boolean()
    .default(false)
    .describe('Let clients in without a user, also with a usersFile or from other machines'),
  connectionsMax: count(1000, 'MQTT clients connected at once'),
  connectionsPerAddressMax: limit('MQTT connections from one address'),
  payloadBytesMax: count(
    MEBIBYTE,
    'Size of one MQTT payload; of a larger one the start is kept as a dead letter',
  ),
  packetBytesMax: count(16 * MEBIBYTE, 'Size of one MQTT packet; a larger one closes its connection'),
  messagesPerSecondMax: limit('Messages a second from one client, beyond which it is read more slowly'),
  inFlightMessagesMax: z
    .number()
    .int()
    .min(1)
    .max(65_535)
    .default(1000)
    .describe('Messages with QoS 1 and 2 under way to one client, and QoS 2 from it'),
  subscriptionsMax: count(1000, 'Topic filters that one client may have subscribed to'),
  keepAliveSecondsMax: z
    .number()
    .int()
    .min(0)
    .max(65_535)
    .default(0)
    .describe('Longest keep-alive: MQTT 5 clients are given it, others are refused; 0: no limit'),
  outgoingBytesMax: count(
    MEBIBYTE,
    'Bytes under way to one client; while they are more, QoS 0 messages are dropped',
  ),
  retainedTopicsMax: count(50_000, 'Topics with a retained message'),
  retainedBytesMax: count(32 * MEBIBYTE, 'Retained messages together'),
  waitingMessagesMax: count(1000, 'Messages that wait for one client that is away or slow'),
  waitingBytesMax: count(32 * MEBIBYTE, 'Messages that wait for clients that are away, together'),
  sessionsMax: count(5000, 'Persistent sessions'),
  sessionSecondsMax: z
    .number()
    .int()
    .min(1)
    .max(0xff_ff_ff_fe)
    .default(7 * 86_400)
    .describe('How long the persistent session of a client that is away is kept'),
  persistence: z
    .boolean()
    .default(true)
    .describe('Keep retained messages and sessions in broker.db, so that they survive power cuts'),
  systemTopicsMs: z
    .number()
    .int()
    .nonnegative()
    .default(10_000)
    .describe('How often $SYS/broker topics are published; 0: never'),
};

interface AccessSettings {
  readonly usersFile: string;
  readonly anonymous: boolean;
  readonly tls: z.infer<typeof tls>;
}

/** What is wrong with the settings together, as [setting, message]; undefined when nothing is. */
export function wrongBrokerSettings(
  { tls: { certFile, keyFile, caFile, clientCertificates } }: AccessSettings,
  hasTls: boolean,
): [string, string] | undefined {
  if ((certFile === '') !== (keyFile === ''))
    return [certFile === '' ? 'tls.certFile' : 'tls.keyFile', 'certFile and keyFile are set together'];
  if (clientCertificates !== 'none' && !(hasTls && caFile !== ''))
    return ['tls.clientCertificates', 'client certificates need certFile, keyFile and caFile'];
  return undefined;
}

/** Whether every client proves who it is by a certificate. */
export const knowsByCertificate = ({
  tls: { clientCertificates, certificateUser },
}: AccessSettings): boolean => clientCertificates === 'required' && certificateUser !== 'none';

/** Whether clients are let in without a user: when that was asked for, or when nobody else can connect. */
export const letsAnonymousIn = (mqtt: AccessSettings, isOpen: boolean): boolean =>
  mqtt.anonymous || (mqtt.usersFile === '' && isOpen);
