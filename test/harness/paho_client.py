"""Eclipse Paho's Python client against a broker: connects, publishes at each QoS, reads retained messages back, is a
subscriber that was away, leaves a will, and, with MQTT 5, looks at expiry, properties and reason codes.

usage: paho_client.py PORT 4|5      (4 is MQTT 3.1.1; prints one line of JSON: what it saw)
"""
import json
import queue
import socket
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, VERSION = int(sys.argv[1]), int(sys.argv[2])
V5 = VERSION == 5
PATIENCE_S = 30


class Client:
    """One connection; what happens to it arrives in queues."""

    def __init__(self, name, clean=True, will=None, expiry_s=600):
        self.connected, self.messages, self.done = queue.Queue(), queue.Queue(), queue.Queue()
        options = {} if V5 else {'clean_session': clean}
        self.paho = mqtt.Client(client_id=f'paho-{VERSION}-{name}', protocol=VERSION, **options)
        self.paho.on_connect = self._on_connect
        self.paho.on_message = lambda _c, _u, message: self.messages.put(message)
        self.paho.on_publish = lambda _c, _u, mid: self.done.put(mid)
        self.paho.on_subscribe = lambda _c, _u, _mid, codes, *_: self.done.put([int(getattr(c, 'value', c)) for c in codes])
        if will:
            self.paho.will_set(*will, qos=1)
        more = {}
        if V5:
            more = {'clean_start': clean, 'properties': properties(PacketTypes.CONNECT, SessionExpiryInterval=0 if clean else expiry_s)}
        self.paho.connect('127.0.0.1', PORT, keepalive=30, **more)
        self.paho.loop_start()
        self.session_present, self.code = self.connected.get(timeout=PATIENCE_S)

    def _on_connect(self, _client, _user, flags, code, *_):
        self.connected.put((bool(flags['session present']), int(getattr(code, 'value', code))))

    def publish(self, topic, payload, qos, retain=False, **more):
        info = self.paho.publish(topic, payload, qos=qos, retain=retain, **more)
        info.wait_for_publish(PATIENCE_S)
        return info.is_published()

    def subscribe(self, topic, qos=2):
        self.paho.subscribe(topic, qos)
        while True:
            done = self.done.get(timeout=PATIENCE_S)
            if isinstance(done, list):
                return done

    def receive(self, count):
        return [self.messages.get(timeout=PATIENCE_S) for _ in range(count)]

    def leave(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def vanish(self):
        """The cable is cut: no DISCONNECT."""
        self.paho.loop_stop()
        self.paho.socket().shutdown(socket.SHUT_RDWR)


def properties(kind, **values):
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def text(messages):
    return sorted(f'{m.topic} {m.payload.decode()} {m.qos}{" retained" if m.retain else ""}' for m in messages)


def main():
    base = f'paho/{VERSION}'
    seen = {}
    publisher = Client('publisher')
    seen['connected'] = [publisher.code, publisher.session_present]
    seen['published'] = [publisher.publish(f'{base}/qos{qos}', f'{qos + 0.5}', qos, retain=True) for qos in (0, 1, 2)]

    reader = Client('reader')
    seen['granted'] = reader.subscribe(f'{base}/+')
    seen['retained'] = text(reader.receive(3))
    publisher.publish(f'{base}/qos2', '7.5', 2)
    seen['live'] = text(reader.receive(1))
    reader.leave()

    away = Client('away', clean=False)
    away.subscribe(f'{base}/away/#')
    away.leave()
    for n in range(20):
        publisher.publish(f'{base}/away/{n}', str(n), 1 + n % 2)
    back = Client('away', clean=False)
    seen['session'] = back.session_present
    seen['kept'] = len({m.topic for m in back.receive(20)})

    watcher = Client('watcher')
    watcher.subscribe(f'{base}/will')
    Client('doomed', will=(f'{base}/will', 'gone')).vanish()
    seen['will'] = text(watcher.receive(1))

    if V5:
        seen.update(of_version_5(base, publisher, watcher))
    for client in (publisher, back, watcher):
        client.leave()
    print(json.dumps(seen))


def of_version_5(base, publisher, watcher):
    seen = {}
    watcher.subscribe(f'{base}/props')
    sent = properties(PacketTypes.PUBLISH, ContentType='text/plain', ResponseTopic='answer', CorrelationData=b'\x01\x02',
                      UserProperty=('line', '3'), MessageExpiryInterval=100)
    publisher.publish(f'{base}/props', '1', 1, properties=sent)
    got = watcher.receive(1)[0].properties
    seen['properties'] = [got.ContentType, got.ResponseTopic, got.CorrelationData.hex(), got.UserProperty]
    seen['expiry left'] = 0 < got.MessageExpiryInterval <= 100

    late = Client('late', clean=False)
    late.subscribe(f'{base}/expires/#')
    late.leave()
    for name, expiry_s in (('soon', 1), ('later', 600)):
        publisher.publish(f'{base}/expires/{name}', name, 1, properties=properties(PacketTypes.PUBLISH, MessageExpiryInterval=expiry_s))
    time.sleep(2.5)
    late = Client('late', clean=False)
    seen['not expired'] = text(late.receive(1))
    late.leave()

    brief = Client('brief', clean=False, expiry_s=1)
    brief.subscribe(f'{base}/brief')
    brief.leave()
    time.sleep(2.5)
    brief = Client('brief', clean=False, expiry_s=1)
    seen['session after its expiry'] = brief.session_present
    brief.leave()
    seen['shared subscription'] = watcher.subscribe(f'$share/group/{base}/x')
    return seen


main()
