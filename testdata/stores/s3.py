# A server that speaks S3, and what it is told to do: see README.md.
import hashlib, json, logging, sys
import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
url = "http://127.0.0.1:%d" % server.get_host_and_port()[1]
s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1",
                  aws_access_key_id="k", aws_secret_access_key="s")
for bucket in sys.argv[1:]:
    s3.create_bucket(Bucket=bucket)
print(json.dumps(url), flush=True)
for line in sys.stdin:
    what, bucket, *rest = line.split()
    if what == "list":
        answer = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
    elif what == "uploads":
        answer = len(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))
    elif what == "delete":
        s3.delete_object(Bucket=bucket, Key=rest[0])
        answer = None
    elif what == "put":
        s3.put_object(Bucket=bucket, Key=rest[0], Body=b"somebody else's")
        answer = None
    elif what == "flip":
        body = bytearray(s3.get_object(Bucket=bucket, Key=rest[0])["Body"].read())
        body[int(rest[1])] ^= 1
        s3.put_object(Bucket=bucket, Key=rest[0], Body=bytes(body))
        answer = None
    elif what == "hash":
        answer = hashlib.sha256(s3.get_object(Bucket=bucket, Key=rest[0])["Body"].read()).hexdigest()
    print(json.dumps(answer), flush=True)
server.stop()
