// Which socket serves which publisher. Identity comes from the socket: a dialled publisher has one
// of its own, and so has a bound port with a single publisher. Only where several publishers are
// configured on one bound address does the topic decide; topics nobody is configured for are
// counted, and publishers that share a topic are not believed.

import type { Subscription } from '#contracts/messages.js';
import type { OrderFrame } from './order-state.js';
import { FollowedPublisher, type PublisherHost } from './publisher.js';
import { EventReceiver } from './receive.js';

/** One open socket and the publishers behind it, in the order they came. */
interface EventSocket {
  readonly receiver: EventReceiver;
  readonly publishers: FollowedPublisher[];
}

export class Subscriptions {
  readonly #host: PublisherHost;
  readonly #publishers = new Map<number, FollowedPublisher>();
  /** By bound address, or by slot for dialled publishers. */
  readonly #sockets = new Map<string, EventSocket>();

  constructor(host: PublisherHost) {
    this.#host = host;
  }

  all(): readonly FollowedPublisher[] {
    return [...this.#publishers.values()];
  }

  add(subscription: Subscription): void {
    this.remove(subscription.slot);
    const publisher = new FollowedPublisher(subscription, this.#host);
    this.#publishers.set(subscription.slot, publisher);
    const key = socketKey(subscription);
    const socket = this.#sockets.get(key) ?? this.#openSocket(key, subscription);
    socket.publishers.push(publisher);
    judgeTopics(socket.publishers);
    if (socket.receiver.connected) publisher.connected();
  }

  /** Closes the publisher and, with its last publisher, the socket. */
  remove(slot: number): void {
    const publisher = this.#publishers.get(slot);
    if (publisher === undefined) return;
    this.#publishers.delete(slot);
    publisher.close();
    const key = socketKey(publisher.subscription);
    const socket = this.#sockets.get(key);
    if (socket === undefined) return;
    socket.publishers.splice(socket.publishers.indexOf(publisher), 1);
    if (socket.publishers.length > 0) {
      judgeTopics(socket.publishers);
    } else {
      this.#sockets.delete(key);
      socket.receiver.close();
    }
  }

  /** A restarted engine gets a new chance, also when its former process was given up. */
  engineRestarted(slot: number): void {
    const publisher = this.#publishers.get(slot);
    if (publisher === undefined) return;
    if (publisher.dead) this.add(publisher.current());
    else publisher.engineRestarted();
  }

  /** Closes the socket of a publisher that only sends what cannot be decoded. */
  gaveUp(slot: number): void {
    const publisher = this.#publishers.get(slot);
    if (publisher === undefined) return;
    const socket = this.#sockets.get(socketKey(publisher.subscription));
    if (socket?.publishers.length === 1) socket.receiver.close();
  }

  close(): void {
    for (const publisher of this.#publishers.values()) publisher.close();
    for (const socket of this.#sockets.values()) socket.receiver.close();
    this.#publishers.clear();
    this.#sockets.clear();
  }

  #openSocket(key: string, subscription: Subscription): EventSocket {
    const { address, mode, topic } = subscription.source;
    const publishers: FollowedPublisher[] = [];
    const { clock, random } = this.#host;
    // A bound socket hears every topic, so that foreign ones can be counted.
    const prefix = mode === 'dial' ? (topic ?? '') : '';
    const receiver = new EventReceiver(
      { address, mode, topic: prefix, clock, random },
      {
        onFrame: (frameTopic, frame) => route(publishers, frameTopic, frame),
        onMalformed: (detail) => publishers[0]?.malformed(detail),
        onConnected: () => tellAll(publishers, (publisher) => publisher.connected()),
        onDisconnected: () => tellAll(publishers, (publisher) => publisher.disconnected()),
        onOpenFailed: (detail) => tellAll(publishers, (publisher) => publisher.openFailed(detail)),
      },
    );
    const socket: EventSocket = { receiver, publishers };
    this.#sockets.set(key, socket);
    void receiver.run();
    return socket;
  }
}

function socketKey({ slot, source }: Subscription): string {
  return source.mode === 'bind' ? `bind ${source.address}` : `dial ${slot}`;
}

function tellAll(
  publishers: readonly FollowedPublisher[],
  tell: (publisher: FollowedPublisher) => void,
): void {
  for (const publisher of [...publishers]) tell(publisher);
}

/** A frame of nobody's topic is counted with the socket's first publisher. */
function route(publishers: readonly FollowedPublisher[], topic: string, frame: OrderFrame): void {
  for (const publisher of publishers) {
    const expected = publisher.subscription.source.topic;
    if (expected === topic || (expected === null && publishers.length === 1)) {
      publisher.offer(frame);
      return;
    }
  }
  publishers[0]?.foreign();
}

/** Publishers that share a socket must each have a topic of their own. */
function judgeTopics(publishers: readonly FollowedPublisher[]): void {
  for (const publisher of publishers) {
    const { topic, address } = publisher.subscription.source;
    const rivals = publishers.filter((other) => other.subscription.source.topic === topic);
    if (publishers.length > 1 && topic === null) {
      publisher.contest(`several publishers are bound to ${address}, and this one has no topic`);
    } else if (rivals.length > 1) {
      const names = rivals.map((rival) => rival.subscription.name).join(', ');
      publisher.contest(`${names} are bound to ${address} with the same topic`);
    } else {
      publisher.contest(null);
    }
  }
}
