# The bot in a container. The diary is in the volume /data, unless DATABASE_URL says otherwise.
#
#   docker build -t ilgi .
#   docker run --env-file ilgi.env -p 127.0.0.1:5000:5000 -v ilgi:/data --restart unless-stopped --stop-timeout 30 ilgi

FROM python:3.13-slim AS build
COPY requirements.txt .
RUN python -m venv --without-pip /venv \
 && pip --python /venv/bin/python install --no-cache-dir --only-binary=:all: -r requirements.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home ilgi \
 && install --directory --owner=ilgi --mode=0700 /data
COPY --from=build /venv /venv
WORKDIR /app
COPY twiml twiml
COPY bot bot
RUN /venv/bin/python -m compileall -q bot
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 DATABASE_URL=sqlite:////data/ilgi.db
USER ilgi
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 5000), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
CMD ["python", "-m", "bot", "serve"]
