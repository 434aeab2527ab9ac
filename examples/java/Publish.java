// Publishes the events of a run to Kafka without the SDK; docs/publishing.md says what the rules are.
//
//     java -cp 'DIRECTORY_OF_KAFKA_JARS/*' examples/java/Publish.java BOOTSTRAP_SERVERS PROJECT RUN_ID STEPS

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HexFormat;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Publish {
    // As `trailhouse schemas list` prints them.
    static final String HEARTBEAT_SENT = "6c457a0ed9afaa58";
    static final String METRICS_LOGGED = "b78be9953ca16875";

    final KafkaProducer<String, byte[]> kafka;
    final String project;
    final String runId;
    // One producer of events: its id, and the number of its next event. Both belong to it alone, for ever.
    final UUID producerId = UUID.randomUUID();
    long sequence = 0;

    Publish(String servers, String project, String runId) {
        this.kafka = new KafkaProducer<>(
            Map.of(
                "bootstrap.servers", servers,
                "acks", "all",
                "enable.idempotence", "true",
                "delivery.timeout.ms", Integer.toString(Integer.MAX_VALUE)),
            new StringSerializer(),
            new ByteArraySerializer());
        this.project = project;
        this.runId = runId;
    }

    public static void main(String[] arguments) throws Exception {
        var run = new Publish(arguments[0], arguments[1], arguments[2]);
        int steps = Integer.parseInt(arguments[3]);
        run.heartbeat("started");
        for (int step = 0; step < steps; step++) {
            run.metric("loss", step, 1.0 / (step + 1));
        }
        run.heartbeat("finished");
        run.kafka.close();
        System.out.println(run.sequence + " events of producer " + run.producerId + " published");
    }

    void metric(String name, long step, double value) {
        var event = new Avro().single(METRICS_LOGGED);
        envelope(event);
        event.text("").text("").text(""); // split, dataset_digest, model_id
        event.number(0); // segment: a map without entries
        event.number(1); // points: a block of one
        event.text(name).present().number(step).real(value).number(now());
        event.number(0); // and no other block
        send("metrics_logged", event);
    }

    void heartbeat(String phase) {
        var event = new Avro().single(HEARTBEAT_SENT);
        envelope(event);
        event.text(phase).text(producerId.toString()).text("");
        event.number(ProcessHandle.current().pid());
        if (phase.equals("finished")) {
            event.absent();
        } else {
            event.present().number(now() + 10_000_000);
        }
        // Emitted so far, this one included; dropped events, dropped points, backlog.
        event.number(sequence + 1).number(0).number(0).number(0);
        event.absent().real(0.0); // clock offset, flush interval
        send("heartbeat_sent", event);
    }

    void envelope(Avro event) {
        event.number(now()).text(producerId.toString()).number(sequence);
        event.text(project).text(runId);
        event.number(0).number(0).number(1); // attempt, rank, world size
        event.text("java").text(System.getProperty("user.name"));
    }

    // In order, one number after the other. Heartbeats and metrics are keyed by their producer.
    void send(String type, Avro event) {
        var identity = ByteBuffer.allocate(24)
            .putLong(producerId.getMostSignificantBits())
            .putLong(producerId.getLeastSignificantBits())
            .putLong(sequence);
        var record = new ProducerRecord<>("trailhouse." + type, producerId.toString(), event.bytes());
        record.headers().add("th", identity.array());
        kafka.send(record, (metadata, error) -> {
            if (error != null) {
                throw new IllegalStateException(error);
            }
        });
        sequence++;
    }

    static long now() {
        return ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    }

    // Avro's binary encoding, as far as it is needed here.
    static class Avro {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Avro single(String fingerprint) {
            out.writeBytes(new byte[] {(byte) 0xC3, 0x01});
            out.writeBytes(HexFormat.of().parseHex(fingerprint));
            return this;
        }

        Avro number(long value) {
            long left = (value << 1) ^ (value >> 63);
            while ((left & ~0x7FL) != 0) {
                out.write((int) (left & 0x7F | 0x80));
                left >>>= 7;
            }
            out.write((int) left);
            return this;
        }

        Avro text(String value) {
            byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
            number(bytes.length);
            out.writeBytes(bytes);
            return this;
        }

        Avro real(double value) {
            out.writeBytes(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putDouble(value).array());
            return this;
        }

        // Of a field that may be null: which of the two it is.
        Avro absent() {
            return number(0);
        }

        Avro present() {
            return number(1);
        }

        byte[] bytes() {
            return out.toByteArray();
        }
    }
}
