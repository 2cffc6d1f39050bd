<?php
// The guestbook: lists the messages as a replica has them, and writes new ones through the master. Works without
// JavaScript. `?cmd=set&key=…&value=…` and `?cmd=get&key=…` do the same for scripts and answer JSON.

const MESSAGES = 'messages';

/** Where a Redis service is: from the environment that the kubelet gives, or by the cluster's DNS. */
function connect(string $service): Redis
{
    $prefix = strtoupper(strtr($service, '-', '_'));
    $fromEnv = getenv('GET_HOSTS_FROM') === 'env';
    $host = $fromEnv ? getenv("{$prefix}_SERVICE_HOST") : $service;
    $port = $fromEnv ? getenv("{$prefix}_SERVICE_PORT") : 6379;
    if (!$host) {
        throw new RedisException("{$prefix}_SERVICE_HOST is not set: create the service $service before this pod");
    }
    $redis = new Redis();
    $redis->connect($host, (int) ($port ?: 6379), 2.0, null, 0, 2.0);
    return $redis;
}

/** Runs a write on the master and waits until its replicas have it, so that the next page shows it. */
function write(callable $change): void
{
    $master = connect('redis-master');
    $change($master);
    $replicas = (int) ($master->info('replication')['connected_slaves'] ?? 0);
    if ($replicas > 0) {
        $master->wait($replicas, 500);
    }
}

function html(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE, 'UTF-8');
}

function json(array $value): never
{
    header('Content-Type: application/json');
    exit(json_encode($value, JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
}

/** What a request asks for, if it is text: `?key[]=…` is not. */
function text(array $from, string $name): ?string
{
    return is_string($from[$name] ?? null) ? $from[$name] : null;
}

$messages = [];
$problem = null;
$cmd = text($_GET, 'cmd');
try {
    if ($cmd !== null) {
        $key = text($_GET, 'key') ?? MESSAGES;
        $value = text($_GET, 'value');
        if ($cmd === 'set' && $value !== null) {
            write(fn (Redis $master) => $master->set($key, $value));
            json(['message' => 'Updated']);
        }
        if ($cmd === 'get') {
            json(['data' => (string) connect('redis-slave')->get($key)]);
        }
        http_response_code(400);
        json(['error' => 'cmd is get (with key) or set (with key and value)']);
    }
    if ($_SERVER['REQUEST_METHOD'] === 'POST') {
        // One message is one line, of at most 250 characters (the pattern matches no broken UTF-8).
        $message = trim(preg_replace('/\s+/', ' ', text($_POST, 'message') ?? ''));
        if (preg_match('/^.{1,250}/u', $message, $match)) {
            write(fn (Redis $master) => $master->append(MESSAGES, "\n" . $match[0]));
        }
        // So that a reload of the page does not submit once more.
        header('Location: ' . strtok($_SERVER['REQUEST_URI'], '?'), true, 303);
        exit;
    }
    $messages = array_filter(explode("\n", (string) connect('redis-slave')->get(MESSAGES)), fn ($m) => $m !== '');
} catch (RedisException $e) {
    http_response_code(503);
    if ($cmd !== null) {
        json(['error' => $e->getMessage()]);
    }
    $problem = 'The guestbook cannot reach its Redis: ' . $e->getMessage();
}
?>
<!DOCTYPE html>
<html ng-app="redis">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Guestbook</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em; color: #222; background: #fcfcfa }
form { display: flex; gap: .5em }
input { flex: 1; font: inherit; padding: .4em .6em; border: 1px solid #999; border-radius: 4px }
button { font: inherit; padding: .4em 1em; border: 0; border-radius: 4px; color: #fff; background: #2457a8 }
li { overflow-wrap: anywhere }
footer { margin-top: 3em; color: #666; font-size: 14px }
.problem { color: #a00 }
</style>
</head>
<body>
<h1>Guestbook</h1>
<form method="post">
<input type="text" name="message" placeholder="Messages" aria-label="Message" maxlength="250" required autofocus>
<button type="submit">Submit</button>
</form>
<?php if ($problem !== null): ?>
<p class="problem"><?= html($problem) ?></p>
<?php endif ?>
<ul>
<?php foreach ($messages as $message): ?>
<li><?= html($message) ?></li>
<?php endforeach ?>
</ul>
<footer>Served by <?= html(gethostname()) ?></footer>
</body>
</html>
