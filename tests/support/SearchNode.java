// SearchNode.java: one OpenSearch node inside this JVM, with its HTTP door; what tests/support/opensearch runs.
// SPDX-License-Identifier: Apache-2.0
import java.util.Collections;
import java.util.List;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** Every argument is a setting, NAME=VALUE. Ready once each shard that can be assigned is: after a kill, queries fail before. */
final class SearchNode extends Node {
    SearchNode(Environment environment) {
        super(environment, List.of(Netty4Plugin.class), false);
    }

    private static Environment environment(String[] arguments) {
        Settings.Builder builder = Settings.builder();
        builder.put("discovery.type", "single-node");
        for (String argument : arguments) {
            String[] halves = argument.split("=", 2);
            builder.put(halves[0], halves[1]);
        }
        return InternalSettingsPreparer.prepareEnvironment(builder.build(), Collections.emptyMap(), null, () -> "search");
    }

    public static void main(String[] arguments) throws Exception {
        SearchNode node = new SearchNode(environment(arguments));
        node.start();
        node.client().admin().cluster().prepareHealth()
            .setWaitForNoInitializingShards(true).setWaitForYellowStatus().setTimeout(TimeValue.timeValueMinutes(10)).get();
        System.out.println("SearchNode is ready");
        Thread.sleep(Long.MAX_VALUE);
    }
}
