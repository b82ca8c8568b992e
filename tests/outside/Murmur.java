import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HexFormat;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/** Reads lines of `partitions key-in-hexadecimal`, writes `murmur2 partition` as the Java client has it. */
public class Murmur {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder out = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ", -1);
            byte[] key = HexFormat.of().parseHex(words[1]);
            int partition = BuiltInPartitioner.partitionForKey(key, Integer.parseInt(words[0]));
            out.append(Integer.toUnsignedString(Utils.murmur2(key))).append(' ').append(partition).append('\n');
        }
        System.out.print(out);
    }
}
