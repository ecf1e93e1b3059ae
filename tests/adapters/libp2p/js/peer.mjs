// A js-libp2p peer with a given key: dials a node, says on its output what it hears, gossips itself.
// It sends frames of data back and answers heartbeats (protocols/11). Its argument is JSON:
// {address, seed, topic}; it ends when its input does.
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

// Node.js 20 has none of these yet.
Promise.withResolvers ??= function () {
  const made = {}
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}

const { address, seed, topic } = JSON.parse(process.argv[2])
const say = (words) => console.log(JSON.stringify(words))

const HEADER_BYTES = 5
const [DATA, PING, PONG] = [0, 1, 2]

// A frame is its body's length, a byte for its kind, and its body.
async function answerFrames (stream) {
  let rest = Buffer.alloc(0)
  for await (const piece of stream) {
    rest = Buffer.concat([rest, piece.subarray()])
    while (rest.length >= HEADER_BYTES && rest.length >= HEADER_BYTES + rest.readUInt32BE(0)) {
      const frame = Buffer.from(rest.subarray(0, HEADER_BYTES + rest.readUInt32BE(0)))
      rest = rest.subarray(frame.length)
      const kind = frame.readUInt8(4)
      if (kind === PING) frame.writeUInt8(PONG, 4)
      if (kind === PING || kind === DATA) stream.send(frame)
    }
  }
}

const node = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', Buffer.from(seed, 'hex')),
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    ping: ping(),
    gossip: gossipsub({ allowPublishToZeroTopicPeers: true, heartbeatInterval: 200 })
  }
})
node.addEventListener('peer:identify', ({ detail }) =>
  say({ identified: detail.protocols, agent: detail.agentVersion }))
node.services.gossip.addEventListener('message', ({ detail }) =>
  say({ heard: Buffer.from(detail.data).toString(), from: detail.from.toString() }))
node.services.gossip.subscribe(topic)
await node.handle('/ambient/frames/1', answerFrames)
say({ listening: node.getMultiaddrs()[0].toString() })

await node.dial(multiaddr(address))
await node.services.ping.ping(multiaddr(address)).then(
  (ms) => say({ pinged: ms }),
  (error) => say({ refused: error.name }))

let number = 0
setInterval(() => {
  const words = new TextEncoder().encode(`from js ${number++}`)
  node.services.gossip.publish(topic, words).catch((error) => say({ unpublished: error.message }))
}, 200)
process.stdin.on('end', () => process.exit(0)).resume()
